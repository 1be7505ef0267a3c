"""The default model, kept loaded before anybody sends a picture; the worker is ready when it is."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor

from errors import ServiceError
from log_setup import Trouble
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
        self._trouble = Trouble(logger, f"making another process for the default model {model.name}")

    async def keep(self, idle: Callable[[], bool]) -> None:
        """Until cancelled."""
        while True:
            fine = True
            warm = self._pool.warm_models()
            if self._model.name in warm:  # if only because a picture had it loaded
                self._report.ready, self._report.trouble = True, None
                if idle():
                    fine = await self._make_another()
            elif not warm and idle():
                fine = await self._make_first()
            await asyncio.sleep(LOOK_SECONDS if fine else TROUBLE_SECONDS)

    async def _make_first(self) -> bool:
        """Whether the model can be used; the report says why not."""
        try:
            await self._make(self._pool.warm)
        except ServiceError as error:
            self._report.ready, self._report.trouble = False, error.detail
            logger.error("the default model %s cannot be used: %s", self._model.name, error)
            return False
        except Exception:
            self._report.ready = False
            self._report.trouble = f"The default model {self._model.name} cannot be used; the log says why."
            logger.exception("the default model %s cannot be used", self._model.name)
            return False
        self._report.ready, self._report.trouble = True, None
        return True

    async def _make_another(self) -> bool:
        """For a second picture at the same time, and so on. Whether there was no trouble."""
        try:
            await self._make(self._pool.warm_another)
        except Exception as error:  # noqa: BLE001 - told, with its traceback if it is unforeseen, by Trouble
            self._trouble.note(error)
            return False
        self._trouble.over()
        return True

    async def _make(self, make: Callable[..., None]) -> None:
        weights = await self._downloads.wait_for(self._model)
        await asyncio.get_running_loop().run_in_executor(self._threads, make, self._model.name, weights)
