"""One child process, as the service sees it: start it, give it work, end it at once."""

import multiprocessing
import threading
from collections.abc import Callable
from multiprocessing.context import ForkServerContext
from typing import ParamSpec, TypeVar

from errors import ChildDied, FileTimeout, NoChild
from job import Outcome
from operations import child
from operations.child import ChildSetup, Task

P = ParamSpec("P")
T = TypeVar("T")


def fork_server() -> ForkServerContext:
    """Children are forked from a small server that has imported the heavy libraries and nothing of the service."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["operations.preload"])
    return context


def no_child(model: str, error: OSError | EOFError) -> NoChild:
    # One reason is that somebody emptied the folder for temporary files, where the fork server has its socket.
    reason = getattr(error, "strerror", None) or "the fork server ended"
    return NoChild(f"No process can be made for model {model} ({reason}). A restart of the service may help.")


class DiedIdle(Exception):
    """The process was dead before it was given anything, so no file is to blame."""


class Child:
    """One process with one model loaded, which takes so many `memory_bytes`. One caller at a time."""

    def __init__(self, context: ForkServerContext, setup: ChildSetup, memory_bytes: int) -> None:
        """Raises NoChild."""
        self.setup = setup
        self.bytes = memory_bytes
        self.refines = False
        self.files_done = 0
        self.pid: int | None = None
        self._closing = threading.Lock()
        self._joining = threading.Lock()
        try:
            self._calls, self._its_calls = context.Pipe()
            # The child ends when `_lifeline` closes: by us, or by the kernel when this process dies.
            self._its_lifeline, self._lifeline = context.Pipe(duplex=False)
        except OSError as error:
            raise no_child(setup.model, error) from error
        # A daemon: were the service to end without `kill`, multiprocessing would wait for others for ever.
        self._process = context.Process(
            target=child.serve, args=(setup, self._its_lifeline, self._its_calls), daemon=True
        )

    def load(self, timeout_seconds: float) -> None:
        """Wait until the model is loaded. Raises ModelLoadFailed, NoChild, and ChildDied when another try may help."""
        model = self.setup.model
        try:
            self._process.start()
        except (OSError, EOFError) as error:
            raise no_child(model, error) from error
        # The child has its own by now, and its death shows only when nobody else has them.
        self._its_calls.close()
        self._its_lifeline.close()
        try:
            self.pid = self.call(child.warm, timeout_seconds)
        except FileTimeout as error:
            raise ChildDied(f"Model {model} was not loaded within {timeout_seconds:g} seconds.") from error
        except (ChildDied, DiedIdle) as error:
            raise ChildDied(f"The process that loads model {model} died.") from error

    @property
    def loaded(self) -> bool:
        return self.pid is not None

    @property
    def usable(self) -> bool:
        return not self._lifeline.closed

    def run(self, task: Task, timeout_seconds: float) -> Outcome:
        """Raises FileTimeout, ChildDied, DiedIdle, and what the operation raises."""
        self.files_done += 1
        return self.call(child.work, timeout_seconds, task)

    def call(self, function: Callable[P, T], timeout_seconds: float, *args: P.args, **kwargs: P.kwargs) -> T:
        """Have the child do something. Raises FileTimeout, ChildDied, DiedIdle, and what the function raises."""
        try:
            if self._calls.poll():  # it has nothing to say, so this is its end
                raise EOFError
            self._calls.send((function, args, kwargs))
        except (EOFError, OSError) as error:
            if not self.usable:
                raise ChildDied("The work on the picture was stopped before it began.", self.pid) from error
            self.kill()
            raise DiedIdle from error
        try:
            if not self._calls.poll(timeout_seconds):
                self.kill()
                raise FileTimeout(f"The picture took longer than the {timeout_seconds:g} seconds that one may take.")
            result: T | Exception = self._calls.recv()
        except (EOFError, OSError) as error:
            self.kill()
            message = "The process that worked on the picture died (a crash, or out of memory)."
            raise ChildDied(message, self.pid) from error
        if isinstance(result, Exception):
            try:
                raise result
            finally:
                # Its traceback holds this frame: together they would keep the child's descriptors open.
                del result
        return result

    def kill(self) -> None:
        """End the process at once, whatever it does; who waits for a result gets ChildDied.

        Safe to call twice and from any thread.
        """
        with self._closing:  # closing a descriptor twice could hit somebody else's
            self._lifeline.close()

    def wait(self) -> None:
        """After `kill`: until the process is gone."""
        with self._joining:
            if self._process.pid is not None:
                self._process.join()
