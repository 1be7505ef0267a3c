"""Worker processes of a pool: one runs only the model, one rembg.remove, as a script around rembg would.

with pool(count, load_rembg, "u2netp", threads) as executor: executor.map(work, paths)
"""

import multiprocessing
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.throughput import START_SECONDS

# What comes back depends on what was loaded: bytes of the result, or seconds by stage.
Work = Callable[[Path], Any]


class Loaded:
    """What this worker does. A process pool's initializer can hand over nothing but module state."""

    work: Work


def work(photo: Path) -> Any:
    return Loaded.work(photo)


def start(all_loaded: threading.Barrier, load: Callable[..., Work], arguments: tuple[object, ...]) -> None:
    Loaded.work = load(*arguments)
    all_loaded.wait(START_SECONDS)


def load_model(weights: Path, photo: Path) -> Work:
    """The model alone on one thread, always on the same tensor: nothing can be faster that runs it for each photo."""
    import numpy as np
    import onnxruntime
    from PIL import Image

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(weights, options, providers=["CPUExecutionProvider"])
    (described,) = session.get_inputs()
    with Image.open(photo) as image:
        pixels = np.asarray(image.convert("RGB").resize(tuple(described.shape[:1:-1])), np.float32)
    tensor = ((pixels / 255 - 0.45) / 0.226).transpose(2, 0, 1)[None]

    def run(photo: Path) -> int:
        session.run(None, {described.name: tensor})
        return 0

    return run


def load_rembg(model: str, threads: int) -> Work:
    """rembg.remove from bytes to bytes. 0 threads: ONNX Runtime chooses, which is what rembg does by itself."""
    import onnxruntime
    import rembg

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session: Any = rembg.new_session(model, sess_opts=options)

    def remove(photo: Path) -> int:
        return len(rembg.remove(photo.read_bytes(), session=session))

    return remove


@contextmanager
def pool(processes: int, load: Callable[..., Work], *arguments: object) -> Iterator[ProcessPoolExecutor]:
    """Worker processes that are all loaded before the first does its first photo."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        processes, context, initializer=start, initargs=(context.Barrier(processes), load, arguments)
    ) as executor:
        yield executor
