"""Weights that jobs wait for: one download a model, its progress, and what to answer after it failed. Thread-safe."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path

from errors import WeightsError, WeightsUnavailable
from models.catalog import Model
from models.weights import WeightStore

logger = logging.getLogger(__name__)

# How long a failed download answers for the next jobs of its model before it is tried again.
RETRY_SECONDS = 60.0


@dataclass
class Download:
    """One that is going on; sizes in bytes."""

    done: int
    total: int | None
    finished: "Future[None]"


@dataclass(frozen=True)
class Failure:
    error: WeightsError
    until: float


class ModelDownloads:
    """Files of a model that is being downloaded stay in the queue, so that other models go on."""

    def __init__(self, weights: WeightStore, executor: Executor, on_end: Callable[[], None]) -> None:
        self._weights = weights
        self._executor = executor
        self._on_end = on_end
        self._lock = threading.Lock()
        self._running: dict[str, Download] = {}
        self._failures: dict[str, Failure] = {}
        self._stopping = False

    def locate(self, model: Model) -> tuple[Path, ...] | None:
        """The verified weights; None when they are not here yet, and then their download has begun.

        Raises WeightsError when the download failed a moment ago or the file on disk is wrong.
        """
        failure = self._failures.get(model.name)
        if failure is not None and time.monotonic() < failure.until:
            raise failure.error
        try:
            return self._weights.locate(model)
        except WeightsUnavailable:
            self.start(model)
            return None

    def installed(self, refiner: Model | None) -> Path | None:
        """Its verified weights; no job makes them come. Raises WeightsError when they are not here, or are wrong."""
        return None if refiner is None else self._weights.locate(refiner)[0]

    async def wait_for(self, model: Model) -> tuple[Path, ...]:
        """The verified weights, when they are here. Raises WeightsError."""
        while True:
            weights = await asyncio.get_running_loop().run_in_executor(self._executor, self.locate, model)
            if weights is not None:
                return weights
            await asyncio.wrap_future(self.start(model))

    def start(self, model: Model) -> "Future[None]":
        """Begin a download, or join the one that is going on; the future never carries an error."""
        with self._lock:
            download = self._running.get(model.name)
            if download is None:
                logger.info("downloading the weights of %s", model.name)
                download = Download(0, model.bytes, Future())
                self._running[model.name] = download
                self._executor.submit(self._run, model, download)
            return download.finished

    def _run(self, model: Model, download: Download) -> None:
        def note(done: int, total: int | None) -> None:
            if self._stopping:
                raise WeightsUnavailable("The service is stopping.", "The download goes on after the next start.")
            download.done, download.total = done, total or download.total

        try:
            self._weights.pull(model, note)
            self._failures.pop(model.name, None)
            logger.info("the weights of %s are installed", model.name)
        except WeightsError as error:
            installed = ", ".join(self._weights.installed()) or "none"
            told = WeightsUnavailable(f"{error.detail} Installed models: {installed}.", error.remedy)
            self._failures[model.name] = Failure(told, time.monotonic() + RETRY_SECONDS)
            logger.error("%s", error)
        finally:
            with self._lock:
                del self._running[model.name]
            download.finished.set_result(None)
            self._on_end()

    def stop(self) -> None:
        """End what is going on; what had arrived is dropped."""
        self._stopping = True

    def running(self) -> dict[str, tuple[int, int | None]]:
        """Models being downloaded, with bytes done and in all."""
        with self._lock:
            return {name: (download.done, download.total) for name, download in self._running.items()}
