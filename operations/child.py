"""What runs inside a child process: load one model, then work on one picture after the other."""

import contextlib
import fcntl
import hashlib
import os
import pickle
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from errors import ProcessingError, ServiceError, StorageError
from job import Outcome, preview_key, preview_keys
from models import catalog
from storage.base import Storage

if TYPE_CHECKING:
    from models.sessions import Session
    from operations.base import Result

# Above the API's, so that it answers quickly while every core is busy.
NICENESS = 10
# The kernel's choice when memory runs out should be a child, which costs one attempt, and never the service.
OOM_SCORE = "500"
# Side in pixels, for models that do not say.
LARGEST_INPUT = 1024


@dataclass(frozen=True)
class ChildSetup:
    """What a child needs for its whole life."""

    model: str
    weights: tuple[Path, ...]
    # On how many threads a picture can be worked on: the model is loaded once for each of them.
    threads: tuple[int, ...]
    storage: Storage
    max_pixels: int


@dataclass(frozen=True)
class Task:
    """One picture: where it is, what to do, where the result goes."""

    operation: str
    params: Mapping[str, object]
    input_key: str
    output_key: str
    # One of the child's.
    threads: int = 1


class Loaded:
    """The child's one model. What it is called for comes by name, and finds it here."""

    setup: ChildSetup
    # By their number of threads.
    sessions: "Mapping[int, Session]" = MappingProxyType({})
    error: Exception | None = None
    # For one picture, once the model is loaded.
    room_bytes: int = 0


def serve(setup: ChildSetup, lifeline: Connection, calls: Connection) -> None:
    """The life of a child: load the model, then do what it is called for, one call after the other."""
    start(setup, lifeline)
    while True:
        calls.send_bytes(result_or_error(*calls.recv()))


def result_or_error(function: Callable[..., object], args: Sequence[object], kwargs: Mapping[str, object]) -> bytes:
    """Pickled here: a result that cannot be is an error too, and no death."""
    try:
        return pickle.dumps(function(*args, **kwargs))
    except Exception as error:  # noqa: BLE001 - raised by who called
        return pickle.dumps(error)


def start(setup: ChildSetup, lifeline: Connection) -> None:
    end_with(lifeline)
    os.nice(NICENESS)
    with contextlib.suppress(OSError):  # not Linux, or forbidden in this container
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE)
    Loaded.setup = setup
    # Imported here: these pull in onnxruntime and OpenCV.
    import cv2

    from models.sessions import load, share_memory

    cv2.setNumThreads(1)
    share_memory()

    model = catalog.find(setup.model)
    try:
        Loaded.sessions = {threads: load(model, setup.weights, threads) for threads in setup.threads}
        limit_memory(working_bytes(model, setup.max_pixels))
    except Exception as error:  # noqa: BLE001 - handed to who calls `warm`: raising here would only end the process
        Loaded.error = error


def working_bytes(model: catalog.Model, max_pixels: int) -> int:
    """Memory that one picture may need once the model is loaded.

    Measured: decoding, cutting and encoding 49 million pixels took up to 904 MB, and the activations of u2net, which
    looks at 320 x 320 pixels, 170 MB. A process that does alpha matting of 49 million pixels took 1.2 GB. Several times
    that, so that only a runaway meets the limit.
    """
    side = model.input_size or LARGEST_INPUT
    return 2**30 + 64 * max_pixels + 8192 * side * side


def limit_memory(more_bytes: int) -> None:
    """A runaway allocation then fails here, and is no matter for the whole machine."""
    if sys.platform != "linux":
        return
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = data_bytes() + more_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))
    Loaded.room_bytes = room_bytes()


def data_bytes() -> int:
    """What RLIMIT_DATA counts."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmData:"))


def room_bytes() -> int:
    """What RLIMIT_DATA still allows."""
    return resource.getrlimit(resource.RLIMIT_DATA)[0] - data_bytes()


def memory_is_short() -> bool:
    """Whether less than half of the room for a picture is left.

    Native decoders then call good pictures damaged, and ONNX Runtime raises errors of its own instead of MemoryError.
    """
    return sys.platform == "linux" and room_bytes() < Loaded.room_bytes // 2


def end_with(lifeline: Connection) -> None:
    """End this process when the service closes its end of the pipe, by dying or on purpose.

    Linux then kills it: that works even when native code hangs with the interpreter's lock in hand, or the process
    was stopped. The thread serves systems whose pipes send no signal.
    """
    if sys.platform == "linux":
        fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)

    def wait_for_the_end() -> None:
        lifeline.poll(None)
        os._exit(1)

    threading.Thread(target=wait_for_the_end, name="lifeline", daemon=True).start()


def warm() -> int:
    """The child's process id, once its model is loaded. Raises what loading raised."""
    if Loaded.error is not None:
        raise Loaded.error
    return os.getpid()


def work(task: Task) -> Outcome:
    """Do one task, from storage to storage. Raises PictureError, ProcessingError, StorageError, RuntimeError."""
    try:
        return _work(task)
    except Exception as error:
        if isinstance(error, MemoryError) or memory_is_short():
            raise ProcessingError("The picture needs more memory than there is.") from error
        if isinstance(error, ServiceError):
            raise
        # Unpickling an error imports the module of its class, and the service must load no native library.
        unforeseen = RuntimeError(f"{type(error).__name__}: {error}")
        unforeseen.add_note(traceback.format_exc())
        raise unforeseen from error


def _work(task: Task) -> Outcome:
    # Imported here: these modules pull in native decoders, which the service itself must never load.
    from operations.registry import OPERATIONS

    session = Loaded.sessions.get(task.threads)
    if session is None:
        raise ProcessingError(f"The child process has no model loaded for {task.threads} threads.")
    begin = time.perf_counter()
    operation = OPERATIONS[task.operation]
    params = operation.Params.model_validate(task.params)
    storage = Loaded.setup.storage
    image = storage.get(task.input_key)
    # What came along with a job lies beside its pictures.
    folder, _, _ = task.input_key.rpartition("/")
    attached = [name for name in operation.attachments if getattr(params, name) is not None]
    attachments = {name: storage.get(f"{folder}/{name}") for name in attached}
    result = operation.run(image, params, session, Loaded.setup.max_pixels, attachments)
    store(storage, task.output_key, result)
    return Outcome(
        output_key=task.output_key,
        output_bytes=len(result.data),
        output_sha256=hashlib.sha256(result.data).hexdigest(),
        content_type=result.content_type,
        extension=result.extension,
        width=result.width,
        height=result.height,
        seconds=round(time.perf_counter() - begin, 4),
        notes=result.notes,
    )


def store(storage: Storage, key: str, result: "Result") -> None:
    """The result and its previews, or nothing. Raises StorageError."""
    try:
        for of, preview in result.previews.items():
            storage.put(preview_key(key, of), preview)
        storage.put(key, result.data)
    except StorageError:
        for stored in preview_keys(key):
            storage.delete(stored)
        raise
