"""The worker of this machine: claims files, has children work on them, reports what became of each."""

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from direct_work import DirectWork
from errors import (
    DatabaseError,
    LeaseLost,
    ModelLoadFailed,
    NoChild,
    PictureError,
    ProcessingError,
    ServiceError,
    StorageError,
    StorageFull,
    WeightsError,
    WorkerUnavailable,
)
from job import Lease, Outcome, WorkerState, timestamp
from log_setup import Trouble
from machine import cores, memory_bytes
from machine_lock import MachineLock
from model_downloads import ModelDownloads
from models import catalog
from models.weights import WeightStore, open_store
from operations.child import Task
from operations.pool import ChildPool, Plan
from operations.registry import OPERATIONS
from outcomes import Outcomes, named
from queue_manager import QueueManager
from settings import Settings
from warm_up import WarmUp
from worker_report import WorkerReport

logger = logging.getLogger(__name__)

T = TypeVar("T")

RESTART_SECONDS = 1.0
# How long nothing is claimed after there was no room for a result: the next one would find none either.
REST_SECONDS = 5.0
# Extra threads beside one for each file: claim, heartbeat, sweep, downloads.
SPARE_THREADS = 8


class JobWorker:
    """At most one a machine runs: it holds a file lock, and another process takes over when this one dies."""

    def __init__(
        self,
        queue_manager: QueueManager,
        settings: Settings,
        pool: ChildPool,
        weights: WeightStore,
    ) -> None:
        self.max_concurrent = settings.max_concurrent
        self._queue = queue_manager
        self._settings = settings
        self._pool = pool
        self._report = WorkerReport(self.max_concurrent)
        self._machine_lock = MachineLock(settings.blob_dir)
        self._threads = ThreadPoolExecutor(self.max_concurrent + SPARE_THREADS, thread_name_prefix="worker")
        self._outcomes = Outcomes(queue_manager, self._threads, settings.max_attempts, settings.poll_seconds)
        self._slots = asyncio.Semaphore(self.max_concurrent)
        # Some files more than there are slots are claimed, so that no slot waits for the database.
        self._ahead = max(1, self.max_concurrent // 4)
        self._rest_until = 0.0
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()
        self._active: dict[asyncio.Task[None], Lease] = {}
        # Those of them that have no slot yet, by the names of their leases.
        self._waiting: set[str] = set()
        self._queue_is_empty = False
        self._downloads = ModelDownloads(weights, self._threads, self._wake_from_thread)
        self._direct = DirectWork(
            pool, queue_manager.storage, self._slots, self._downloads, self._threads, settings.file_timeout_seconds
        )
        default_model = catalog.find(settings.default_model)
        self._warm_up = WarmUp(default_model, pool, self._downloads, self._report, self._threads)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._main: asyncio.Task[None] | None = None
        self._start_trouble = Trouble(logger, "starting the worker")

    # --- life -----------------------------------------------------------------------------------------------

    @property
    def status(self) -> str:
        """stopped, waiting (another process is this machine's worker), running, or stopping."""
        if self._main is None or self._main.done():
            return "stopped"
        if not self._machine_lock.held:
            return "waiting"
        return "stopping" if self._stopping.is_set() else "running"

    async def start(self) -> None:
        """Begin to work, or to wait until this machine's worker dies."""
        self._loop = asyncio.get_running_loop()
        self._queue.on_submit.add(self._wake_from_thread)
        self._machine_lock.try_to_take()
        self._main = asyncio.create_task(self._live(), name="job-worker")

    async def stop(self) -> None:
        """Finish what is in hand within `drain_seconds`, give the rest back, end the children."""
        self._stopping.set()
        self._wake.set()
        if self._main is not None:
            await self._main
        self._pool.close()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._machine_lock.release()

    def _wake_from_thread(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake.set)

    async def _live(self) -> None:
        if not self._machine_lock.held:
            logger.info("another process is this machine's worker; waiting for its place")
        while not self._machine_lock.held and not self._stopping.is_set():
            await self._pause(self._settings.poll_seconds)
            try:
                self._machine_lock.try_to_take()
                self._start_trouble.over()
            except StorageError as error:
                self._start_trouble.note(error)
        while not self._stopping.is_set():
            try:
                await self._serve()
            except Exception as error:  # noqa: BLE001 - told, with its traceback, by Trouble
                self._report.restarts += 1
                self._start_trouble.note(error)
                await self._pause(RESTART_SECONDS)

    async def _serve(self) -> None:
        """Take over what a dead worker left, then claim and work until told to stop."""
        self._report.start_anew(timestamp(self._queue.clock()))
        await self._thread(self._queue.take_over, self._state())
        self._start_trouble.over()
        logger.info("worker %s runs; pictures at once: %d", self._report.worker_id, self.max_concurrent)
        side_tasks = [
            asyncio.create_task(self._warm_up.keep(self._is_idle), name="warm-up"),
            asyncio.create_task(self._keep_leases(), name="heartbeat"),
            asyncio.create_task(self._sweep(), name="sweep"),
        ]
        try:
            await self._claim_until_stopped()
            await self._drain()
        finally:
            for task in side_tasks:
                task.cancel()
            await asyncio.gather(*side_tasks, return_exceptions=True)
        self._downloads.stop()
        try:
            await self._thread(self._queue.forget_worker, self._report.worker_id)
        except DatabaseError as error:
            logger.error("the next worker takes over what this one had: %s", error)
        logger.info("worker %s stopped", self._report.worker_id)

    async def _thread(self, function: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *args)

    async def _pause(self, seconds: float) -> None:
        """Wait, but not longer than until something was queued, finished, or the service stops."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), seconds)
        self._wake.clear()

    # --- claiming -------------------------------------------------------------------------------------------

    async def _claim_until_stopped(self) -> None:
        trouble = Trouble(logger, "claiming files")
        while not self._stopping.is_set():
            claimed: list[tuple[Lease, bool]] = []
            free = self.max_concurrent + self._ahead - len(self._active) - len(self._direct.running)
            if free >= self._ahead and time.monotonic() >= self._rest_until:
                try:
                    claimed = await self._thread(self._claim, free)
                    self._queue_is_empty = len(claimed) < free
                    trouble.over()
                except ServiceError as error:
                    trouble.note(error)
            for lease, known in claimed:
                task = asyncio.create_task(self._work(lease, known))
                self._active[task] = lease
                self._waiting.add(lease.name)
                task.add_done_callback(self._finished)
            if not claimed:
                await self._pause(self._settings.poll_seconds)

    def _claim(self, limit: int) -> list[tuple[Lease, bool]]:
        """Files to work on, and of each whether it has an earlier result of the same work; in one of our threads.

        Each change of thread takes as long as a look into the database, so all looks that come before the work are done
        here. Copies are not: storage may be slow, and meanwhile nothing else is claimed and no lease is extended.
        """
        leases = self._queue.claim(self._report.worker_id, limit, frozenset(self._downloads.running()))
        for lease in leases:
            self._queue.storage.read_ahead(lease.file.input_key)
        return [(lease, self._queue.earlier_results.has(lease)) for lease in leases]

    def _is_idle(self) -> bool:
        return not self._active and not self._direct.running

    def _finished(self, task: asyncio.Task[None]) -> None:
        lease = self._active.pop(task)
        self._waiting.discard(lease.name)
        self._wake.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            unforeseen = None if isinstance(error, ServiceError) else error
            logger.error("%s: %s", named(lease), error, exc_info=unforeseen)

    async def _drain(self) -> None:
        """Give back what has not begun; let running files end; then stop the children and give their files back."""
        await self._give_back_waiting()
        if self._active or self._direct.running:
            count = len(self._active) + len(self._direct.running)
            logger.info("stopping: waiting up to %g s for %d files", self._settings.drain_seconds, count)
            await asyncio.wait([*self._active, *self._direct.running], timeout=self._settings.drain_seconds)
        for direct in self._direct.running:
            direct.cancel()
        self._outcomes.end()
        await self._give_back(dict(self._active))
        await asyncio.gather(*self._direct.running, return_exceptions=True)

    async def _give_back_waiting(self) -> None:
        waiting = {task: lease for task, lease in self._active.items() if lease.name in self._waiting}
        for task, lease in waiting.items():
            self._stop_work(task, lease)
        await self._give_back(waiting)

    async def _give_back(self, files: Mapping[asyncio.Task[None], Lease]) -> None:
        """Once: if the database does not take it, the next worker finds out by itself."""
        if not files:
            return
        try:
            await self._thread(self._queue.release, list(files.values()))
        except DatabaseError as error:
            logger.error("nothing could be given back: %s", error)
        for task, lease in files.items():
            logger.warning("%s: given back %s", named(lease), "unbegun" if task.cancelling() else "unfinished")
            self._stop_work(task, lease)
        await asyncio.gather(*files, return_exceptions=True)

    def _stop_work(self, task: asyncio.Task[None], lease: Lease) -> None:
        if lease.name in self._waiting:
            task.cancel()
        else:
            self._pool.kill(lease.name)

    # --- one file -------------------------------------------------------------------------------------------

    async def _work(self, lease: Lease, known: bool) -> None:
        """From claim to outcome. Each outcome is guarded by the lease."""
        try:
            await self._attempt(lease, known)
        except LeaseLost:  # frozen for too long, cancelled meanwhile, or given back while stopping
            logger.warning("%s: the lease is lost, its result is dropped", named(lease))
        except DatabaseError as error:  # the service stops, so that nobody can wait until it is over
            logger.error("%s: its outcome is lost, the next worker does it again: %s", named(lease), error)

    async def _attempt(self, lease: Lease, known: bool) -> None:
        """Raises LeaseLost and DatabaseError."""
        begin = time.monotonic()
        try:
            outcome = await self._thread(self._queue.earlier_results.take, lease) if known else None
            if outcome is None:
                async with self._slot(lease):
                    begin = time.monotonic()
                    outcome = await self._process(lease)
                    self._report.file_took(time.monotonic() - begin)
            if outcome is not None:
                await self._outcomes.complete(lease, outcome)
        except (LeaseLost, DatabaseError):
            raise
        except (PictureError, WeightsError, ModelLoadFailed) as error:
            await self._outcomes.fail(lease, error, begin)
        except (StorageFull, NoChild) as error:
            logger.warning("%s: given back: %s", named(lease), error)
            self._rest_until = time.monotonic() + REST_SECONDS
            await self._outcomes.give_back(lease)
        except (ProcessingError, StorageError) as error:
            await self._outcomes.retry_or_fail(lease, error, begin)
        except Exception:
            logger.exception("%s: unforeseen", named(lease))
            await self._outcomes.retry_or_fail(lease, ProcessingError("The service failed on this picture."), begin)

    @contextlib.asynccontextmanager
    async def _slot(self, lease: Lease) -> AsyncIterator[None]:
        await self._slots.acquire()
        self._waiting.discard(lease.name)
        try:
            yield
        finally:
            self._slots.release()

    async def _process(self, lease: Lease) -> Outcome | None:
        """The finished file, or None when it had to be given back because its model is being downloaded."""
        alone = self._queue_is_empty and len(self._active) == 1 and not self._direct.running
        outcome = await self._thread(self._run, lease, alone)
        if outcome is None:
            await self._outcomes.give_back(lease)
        return outcome

    def _run(self, lease: Lease, alone: bool) -> Outcome | None:
        """The work itself, in one of our threads; None while its model is being downloaded."""
        file = lease.file
        model = catalog.find(file.model)
        weights = self._downloads.locate(model)
        if weights is None:
            return None
        refiner = self._downloads.installed(OPERATIONS[file.operation].refiner(file.params))
        task = Task(file.operation, file.params, file.input_key, lease.output_key, refiner=refiner)
        return self._pool.run(lease.name, model.name, weights, task, self._settings.file_timeout_seconds, alone)

    async def process_image_bytes(self, data: bytes, model: str = catalog.DEFAULT_MODEL) -> bytes:
        """One picture, in and out as bytes, through the same children and slots, without a job.

        Raises UnknownModel, ModelNotUsable, PictureError, ProcessingError, WeightsError, and WorkerUnavailable in a
        process that is not this machine's worker.
        """
        if self.status != "running":
            raise WorkerUnavailable(f"The worker of this process is {self.status}: submit a job instead.")
        work = self._direct.start(data, catalog.find(model))
        # Its slot is free for a file of the queue then.
        work.add_done_callback(lambda _: self._wake.set())
        return await work

    # --- heartbeat ------------------------------------------------------------------------------------------

    def _state(self) -> WorkerState:
        return self._report.state(
            timestamp(self._queue.clock()),
            self.status,
            len(self._active) - len(self._waiting) + len(self._direct.running),
            self._pool.warm_models(),
            self._downloads.running(),
        )

    async def _keep_leases(self) -> None:
        """Tell that we live, extend leases, and stop the work on files that were cancelled meanwhile."""
        trouble = Trouble(logger, "the heartbeat")
        while True:
            active = dict(self._active)
            leases = list(active.values())
            try:
                state = self._state()
                if self._report.due(state, self._settings.lease_seconds / 4):
                    held = await self._thread(self._queue.heartbeat, state, leases)
                    self._report.told(state)
                    await self._thread(self._queue.expire_leases)
                else:
                    held = await self._thread(self._queue.held, leases) if leases else set()
                paused = bool(self._waiting) and await self._thread(self._queue.is_paused)
                if paused:
                    await self._give_back_waiting()
                for task, lease in active.items():
                    if lease.file.id not in held and task in self._active:
                        self._stop_work(task, lease)
                trouble.over()
            except Exception as error:  # noqa: BLE001 - told, with its traceback, by Trouble
                trouble.note(error)
            await asyncio.sleep(self._settings.poll_seconds)

    async def _sweep(self) -> None:
        """Retention and leftovers, now and then."""
        trouble = Trouble(logger, "the sweep")
        while True:
            try:
                await self._thread(self._queue.cleanup_old_jobs, self._settings.retention_days)
                await self._thread(self._queue.sweep_orphans)
                trouble.over()
            except Exception as error:  # noqa: BLE001 - told, with its traceback, by Trouble
                trouble.note(error)
            await asyncio.sleep(self._settings.sweep_seconds)


def init_worker(
    queue_manager: QueueManager, max_concurrent: int | None = None, settings: Settings | None = None
) -> JobWorker:
    """A worker for this queue, made in app.py; call `await worker.start()` in a running event loop."""
    settings = settings or Settings()
    if max_concurrent is not None:
        settings = settings.model_copy(update={"max_concurrent": max_concurrent})
    pool = ChildPool(
        storage=queue_manager.storage,
        plan=Plan(narrow=settings.threads_per_picture, wide=cores()),
        memory_bytes=settings.model_memory_bytes or memory_bytes() // 2,
        child_max_files=settings.child_max_files,
        load_timeout_seconds=settings.model_load_timeout_seconds,
        max_pixels=settings.max_pixels,
        max_idle=settings.max_concurrent,
    )
    return JobWorker(queue_manager, settings, pool, open_store(os.environ))
