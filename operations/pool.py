"""The child processes that work on pictures: a crash, a hang or a memory blow-up costs one attempt of one file."""

import logging
import threading
from dataclasses import dataclass, replace
from pathlib import Path

from errors import ChildDied, PictureError, StorageError
from job import Outcome
from operations.child import ChildSetup, Task
from operations.child_handle import Child, DiedIdle, fork_server
from storage.base import Storage

logger = logging.getLogger(__name__)

# Measured with 12 megapixels: 560 MB with u2netp (5 MB of weights), 920 to 1,010 MB with u2net (176 MB), and 280 MB
# more when that is loaded for a second number of threads.
BASE_BYTES = 500 * 2**20
WEIGHTS_FACTOR = 3
MORE_THREADS_FACTOR = 2
# While a refiner works: 1.3 GB in a network of the same shapes as ViTMatte's, which gives them back.
REFINING_BYTES = 3 * 2**29
# Of the memory for children, what they may take before anybody has sent a picture: 1 part of so many.
WARM_SHARE = 4


def child_bytes(weights: tuple[Path, ...], sessions: int) -> int:
    """Memory of a process with a model loaded so many times."""
    return BASE_BYTES + loaded_bytes(weights, sessions)


def refiner_bytes(weights: Path | None, sessions: int) -> int:
    """What it takes more with a refiner."""
    return 0 if weights is None else REFINING_BYTES + loaded_bytes((weights,), sessions)


def loaded_bytes(weights: tuple[Path, ...], sessions: int) -> int:
    factor = WEIGHTS_FACTOR + MORE_THREADS_FACTOR * (sessions - 1)
    return factor * sum(path.stat().st_size for path in weights)


@dataclass(frozen=True)
class Plan:
    """How many threads a picture has: few when many are worked on, all cores when it is alone."""

    narrow: int
    wide: int


class ChildPool:
    """Children by model: made when needed, kept warm, replaced after a number of files. Thread-safe.

    The caller bounds how many files run at once; the pool bounds the memory of all children: idle ones beyond it are
    ended, and work waits while others work that leave too little. It keeps at most `max_idle` with the same model.
    """

    def __init__(
        self,
        storage: Storage,
        plan: Plan,
        memory_bytes: int,
        child_max_files: int,
        load_timeout_seconds: float,
        max_pixels: int,
        max_idle: int,
    ) -> None:
        self._storage = storage
        self._plan = plan
        self._memory_bytes = memory_bytes
        self._child_max_files = child_max_files
        self._load_timeout_seconds = load_timeout_seconds
        self._max_pixels = max_pixels
        self._max_idle = max_idle
        self._context = fork_server()
        self._room = threading.Condition()
        # Oldest use first.
        self._idle: list[Child] = []
        self._busy: dict[str, Child] = {}
        # Who waits for a child, and who of them need not be served any more.
        self._line: list[str] = []
        self._unwanted: set[str] = set()
        self._waited_for_memory: set[str] = set()
        self._closed = False

    def warm(self, model: str, weights: tuple[Path, ...]) -> None:
        """Have a child with this model ready. Raises ModelLoadFailed, NoChild and ChildDied."""
        lease = f"warm-up of {model}"
        self._put_back(lease, self._take(lease, model, weights))

    def warm_another(self, model: str, weights: tuple[Path, ...]) -> None:
        """One idle child more, if slots and a share of the memory allow it.

        Raises ModelLoadFailed, NoChild and ChildDied.
        """
        lease = f"another warm-up of {model}"
        with self._room:
            children = [*self._idle, *self._busy.values()]
            used = sum(child.bytes for child in children) + child_bytes(weights, 1)
            if self._closed or len(children) >= self._max_idle or used > self._memory_bytes // WARM_SHARE:
                return
            child = self._new_child(model, weights)
            self._busy[lease] = child
        self._put_back(lease, self._load(lease, child, []))

    def run(
        self,
        lease: str,
        model: str,
        weights: tuple[Path, ...],
        task: Task,
        timeout_seconds: float,
        alone: bool = False,
    ) -> Outcome:
        """Do one task, on every core if it is `alone`; `lease` names it for `kill`.

        Raises ModelLoadFailed and what Child.run raises.
        """
        while True:
            child = self._take(lease, model, weights, task.refiner)
            threads = self._plan.wide if alone and self._plan.wide in child.setup.threads else self._plan.narrow
            try:
                return child.run(replace(task, threads=threads), timeout_seconds)
            except DiedIdle:
                logger.warning("an idle process with model %s had died, making another", model)
            except (PictureError, StorageError):
                raise
            except Exception:
                # It may have run out of memory, or be broken otherwise: the next picture gets another.
                child.kill()
                raise
            finally:
                self._put_back(lease, child)

    def kill(self, lease: str) -> None:
        """Stop the work on one file, if it is running or waits for a process: its `run` raises ChildDied."""
        with self._room:
            child = self._busy.get(lease)
            if lease in self._line:
                self._unwanted.add(lease)
                self._room.notify_all()
        if child is not None:
            child.kill()

    def close(self) -> None:
        """End every child. Nothing can run afterwards."""
        with self._room:
            self._closed = True
            self._room.notify_all()
            left = [*self._idle, *self._busy.values()]
            self._idle.clear()
            self._busy.clear()
        for process in left:
            process.kill()
        for process in left:
            process.wait()

    def warm_models(self) -> list[str]:
        """Models that an idle or busy child has loaded."""
        with self._room:
            return sorted({child.setup.model for child in [*self._idle, *self._busy.values()] if child.loaded})

    def _take(self, lease: str, model: str, weights: tuple[Path, ...], refiner: Path | None = None) -> Child:
        """An idle child, or a new one as soon as there is room for it; first come, first served."""
        with self._room:
            self._line.append(lease)
            try:
                while (child := self._served(lease, model, weights, refiner)) is None:
                    self._room.wait()
            finally:
                self._line.remove(lease)
                self._unwanted.discard(lease)
                self._room.notify_all()
            self._busy[lease] = child
            evicted = self._evict()
        return child if child.loaded else self._load(lease, child, evicted)

    def _served(self, lease: str, model: str, weights: tuple[Path, ...], refiner: Path | None) -> Child | None:
        """None while others are to be served first, or work with too much of the memory."""
        if self._closed:
            raise ChildDied("The service is stopping.")
        if lease in self._unwanted:
            raise ChildDied("The work on the picture was stopped before it began.")
        if self._line[0] != lease:
            return None
        alike = [child for child in reversed(self._idle) if child.setup.model == model]
        found = max(alike, key=lambda child: (child.refines == bool(refiner), len(child.setup.threads)), default=None)
        sessions = 1 if found is None else len(found.setup.threads)
        more = 0 if found is not None and found.refines else refiner_bytes(refiner, sessions)
        needed = more + (child_bytes(weights, 1) if found is None else found.bytes)
        if (found is None or more) and self._busy and self._busy_bytes() + needed > self._memory_bytes:
            self._tell_wait(model, needed)
            return None
        if found is None:
            found = self._new_child(model, weights)
        else:
            self._idle.remove(found)
        found.bytes += more
        found.refines = found.refines or bool(refiner)
        return found

    def _busy_bytes(self) -> int:
        return sum(child.bytes for child in self._busy.values())

    def _tell_wait(self, model: str, needed: int) -> None:
        if model not in self._waited_for_memory:
            self._waited_for_memory.add(model)
            logger.warning(
                "fewer pictures at once with model %s: a process takes %d MiB, and %d MiB are for all (%s)",
                *(model, needed // 2**20, self._memory_bytes // 2**20, "QUEUE_MODEL_MEMORY_BYTES"),
            )

    def _new_child(self, model: str, weights: tuple[Path, ...]) -> Child:
        """For many pictures at once; the first of its model for a picture alone as well, where memory allows."""
        threads: tuple[int, ...] = (self._plan.narrow,)
        alike = any(child.setup.model == model for child in [*self._idle, *self._busy.values()])
        roomy = self._busy_bytes() + child_bytes(weights, 2) <= self._memory_bytes
        if self._plan.wide != self._plan.narrow and not alike and roomy:
            threads = (self._plan.narrow, self._plan.wide)
        setup = ChildSetup(model, weights, threads, self._storage, self._max_pixels)
        return Child(self._context, setup, child_bytes(weights, len(threads)))

    def _load(self, lease: str, child: Child, evicted: list[Child]) -> Child:
        model = child.setup.model
        for idle in evicted:
            logger.info("unloading model %s to make room for %s", idle.setup.model, model)
            idle.kill()
            idle.wait()
        try:
            child.load(self._load_timeout_seconds)
        except Exception:
            with self._room:
                self._busy.pop(lease, None)
                self._room.notify_all()
            child.kill()
            child.wait()
            raise
        logger.info("model %s loaded in process %s", model, child.pid)
        return child

    def _evict(self) -> list[Child]:
        """Take idle children out, the longest unused first, until all fit into memory."""
        evicted = []
        used = sum(child.bytes for child in self._idle) + self._busy_bytes()
        while used > self._memory_bytes and self._idle:
            evicted.append(self._idle.pop(0))
            used -= evicted[-1].bytes
        return evicted

    def _put_back(self, lease: str, child: Child) -> None:
        with self._room:
            self._busy.pop(lease, None)
            self._room.notify_all()
            alike = sum(idle.setup.model == child.setup.model for idle in self._idle)
            fresh = child.usable and child.files_done < self._child_max_files
            keep = fresh and alike < self._max_idle and not self._closed
            if keep:
                self._idle.append(child)
        if not keep:
            child.kill()
            child.wait()
