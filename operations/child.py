"""What runs inside a child process: load one model, then work on one picture after the other."""

import contextlib
import fcntl
import hashlib
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from errors import ProcessingError
from job import Outcome
from models import catalog
from storage.base import Storage

if TYPE_CHECKING:
    from models.sessions import Session

# Above the API's, so that it answers quickly while every core is busy.
NICENESS = 10
# The kernel's choice when memory runs out should be a child, which costs one attempt, and never the service.
OOM_SCORE = "500"


@dataclass(frozen=True)
class ChildSetup:
    """What a child needs for its whole life."""

    model: str
    weights: tuple[Path, ...]
    threads: int
    storage: Storage


@dataclass(frozen=True)
class Task:
    """One picture: where it is, what to do, where the result goes."""

    operation: str
    params: Mapping[str, object]
    input_key: str
    output_key: str
    max_pixels: int


class Loaded:
    """The child's one model. A process pool's initializer can hand over nothing but module state."""

    setup: ChildSetup
    session: "Session | None" = None
    error: Exception | None = None


def start(setup: ChildSetup, lifeline: Connection) -> None:
    """First thing in a new child."""
    end_with(lifeline)
    os.nice(NICENESS)
    with contextlib.suppress(OSError):  # not Linux, or forbidden in this container
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE)
    Loaded.setup = setup
    # Imported here: these pull in onnxruntime and OpenCV.
    import cv2

    from models.sessions import load

    cv2.setNumThreads(setup.threads)

    try:
        Loaded.session = load(catalog.find(setup.model), setup.weights, setup.threads)
    except Exception as error:  # noqa: BLE001 - handed to who calls `warm`: raising here would only break the pool
        Loaded.error = error


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
    """Do one task, from storage to storage. Raises PictureError, ProcessingError, StorageError."""
    # Imported here: these modules pull in native decoders, which the service itself must never load.
    from operations.registry import OPERATIONS

    if Loaded.session is None:
        raise ProcessingError("The child process has no model loaded.")
    begin = time.perf_counter()
    operation = OPERATIONS[task.operation]
    params = operation.Params.model_validate(task.params)
    image = Loaded.setup.storage.get(task.input_key)
    try:
        result = operation.run(image, params, Loaded.session, task.max_pixels)
    except MemoryError as error:
        raise ProcessingError("The picture needs more memory than there is.") from error
    Loaded.setup.storage.put(task.output_key, result.data)
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
