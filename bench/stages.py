"""Where the processor time of one picture goes: the real operation, its functions timed, one thread, on every core.

    python -m bench.stages --model u2netp --megapixels 12

What a stage calls that is a stage itself counts for that one only; what no stage covers is "other".
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from bench.contenders import CORES, running_service
from bench.throughput import camera_photos
from bench.workers import Work, pool, work
from models import catalog, sessions
from models.weights import open_store
from settings import Settings

OTHER = "other"


# A stage's name, or what tells it from the arguments.
Stage = str | Callable[..., str]


def direction(pixels: Any, width: int, height: int) -> str:
    """Pictures are made smaller for the model, its mask is made larger."""
    return "resize" if width < pixels.shape[1] else "mask"


def stages(session: sessions.Session) -> Sequence[tuple[Stage, Any, str]]:
    """Stages, and the functions that are theirs: where each is looked up when it is called, and its name."""
    from models import resample
    from operations import encoding, picture, previews

    backend = session._backend
    return (
        ("decode", picture, "decode"),
        (direction, resample, "resize"),
        ("resize", backend, "normalize"),
        ("model", backend.inner_session, "run"),
        ("mask", session, "predict"),
        ("merge", picture, "cut_out"),
        ("encode", encoding, "encode"),
        ("previews", previews, "of_input"),
        ("previews", previews, "of_result"),
    )


class Stopwatch:
    """Processor seconds by stage; time in a stage within a stage counts for the inner one."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._of_inner: list[float] = []

    def timed(self, stage: Stage, function: Callable[..., Any]) -> Callable[..., Any]:
        def measured(*arguments: Any, **named: Any) -> Any:
            self._of_inner.append(0.0)
            begin = time.process_time()
            try:
                return function(*arguments, **named)
            finally:
                spent = time.process_time() - begin
                name = stage if isinstance(stage, str) else stage(*arguments, **named)
                self.seconds[name] = self.seconds.get(name, 0.0) + spent - self._of_inner.pop()
                if self._of_inner:
                    self._of_inner[-1] += spent

        return measured

    def taken(self) -> dict[str, float]:
        """What was measured since this was last asked."""
        seconds, self.seconds = self.seconds, {}
        return seconds


def load_timed_operation(name: str, max_pixels: int) -> Work:
    """The operation as a child process runs it, for pool(); its work gives seconds by stage."""
    import cv2

    from operations.registry import OPERATIONS

    cv2.setNumThreads(1)
    model = catalog.find(name)
    session = sessions.load(model, open_store(os.environ).locate(model), threads=1)
    watch = Stopwatch()
    for stage, owner, function in stages(session):
        setattr(owner, function, watch.timed(stage, getattr(owner, function)))
    operation = OPERATIONS["remove_background"]
    params = operation.Params.model_validate({"model": name})
    run = watch.timed(OTHER, operation.run)

    def measured(photo: Path) -> Mapping[str, float]:
        run(photo.read_bytes(), params, session, max_pixels)
        return watch.taken()

    return measured


def operation_seconds(model: str, warm_up: Sequence[Path], paths: Sequence[Path]) -> dict[str, float]:
    """Processor seconds of one photo by stage, with as many at once as there are cores."""
    with pool(CORES, load_timed_operation, model, Settings().max_pixels) as executor:
        list(executor.map(work, warm_up))
        measured: list[Mapping[str, float]] = list(executor.map(work, paths))
    return {stage: fmean(seconds[stage] for seconds in measured) for stage in measured[0]}


def service_seconds(model: str, warm_up: Sequence[Path], paths: Sequence[Path]) -> dict[str, float]:
    """Processor seconds of the service's own process for one photo: to take it in, and to see it through the queue.

    The queue is paused while the photos come, so that the two can be told apart.
    """
    with running_service(model) as service:
        service.submit_all(warm_up)
        service.wait_until_idle()
        service.act("/queue/pause")
        begin = service.cpu_seconds()["service process"]
        service.submit_all(paths)
        submitted = service.cpu_seconds()["service process"]
        service.act("/queue/resume")
        service.wait_until_idle()
        ended = service.cpu_seconds()["service process"]
    return {"queue": (ended - submitted) / len(paths), "HTTP": (submitted - begin) / len(paths)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="u2netp")
    parser.add_argument("--megapixels", type=float, default=12.0)
    parser.add_argument("--photos", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = camera_photos(Path(folder), options.megapixels, options.photos + CORES)
        warm_up, paths = paths[options.photos :], paths[: options.photos]
        measured = operation_seconds(options.model, warm_up, paths) | service_seconds(options.model, warm_up, paths)
    for stage, seconds in measured.items():
        print(f"{stage:8} {1000 * seconds:8.1f} ms")


if __name__ == "__main__":
    main()
