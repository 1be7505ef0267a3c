"""The default model, kept loaded before anybody sends a picture; the worker is ready when it is."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor

from errors import ServiceError
from model_downloads import ModelDownloads
from models.catalog import Model
from operations.pool import ChildPool
from worker_report import WorkerReport

logger = logging.getLogger(__name__)

# How often to look whether a child has to be made, without and after trouble.
LOOK_SECONDS = 1.0
TROUBLE_SECONDS = 15.0


class WarmUp:
    """Makes children for the default model while the worker is idle, and notes whether it can be used."""

    def __init__(
        self, model: Model, pool: ChildPool, downloads: ModelDownloads, report: WorkerReport, threads: Executor
    ) -> None:
        self._model = model
        self._pool = pool
        self._downloads = downloads
        self._report = report
        self._threads = threads

    async def keep(self, idle: Callable[[], bool]) -> None:
        """Until cancelled."""
        while True:
            warm = self._pool.warm_models()
            if self._model.name in warm:  # if only because a picture had it loaded
                self._report.ready, self._report.trouble = True, None
                if idle():
                    await self._make_another()
            elif not warm and idle():
                await self._make_first()
            await asyncio.sleep(LOOK_SECONDS if self._report.ready else TROUBLE_SECONDS)

    async def _make_first(self) -> None:
        try:
            await self._make(self._pool.warm)
            self._report.ready, self._report.trouble = True, None
        except ServiceError as error:
            self._report.ready, self._report.trouble = False, error.detail
            logger.error("the default model %s cannot be used: %s", self._model.name, error)
        except Exception:
            self._report.ready = False
            self._report.trouble = f"The default model {self._model.name} cannot be used; the log says why."
            logger.exception("the default model %s cannot be used", self._model.name)

    async def _make_another(self) -> None:
        """For a second picture at the same time, and so on."""
        try:
            await self._make(self._pool.warm_another)
        except ServiceError as error:
            logger.warning("no other process for the default model %s: %s", self._model.name, error)

    async def _make(self, make: Callable[..., None]) -> None:
        weights = await self._downloads.wait_for(self._model)
        await asyncio.get_running_loop().run_in_executor(self._threads, make, self._model.name, weights)
