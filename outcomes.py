"""What became of a file, told to the queue under its lease: again and again while the database has trouble."""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from errors import DatabaseError, LeaseLost, ServiceError, StorageError
from job import Lease, Outcome
from log_setup import Trouble
from queue_manager import QueueManager
from retry_policy import delay_seconds

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


def named(lease: Lease) -> str:
    return f"job {lease.file.job_id} file {lease.file.position} ({lease.file.filename})"


@dataclass(frozen=True)
class Finished:
    """A result that is safely in storage, and who waits for it to be published."""

    lease: Lease
    outcome: Outcome
    published: asyncio.Future[None]


def answer(files: Sequence[Finished], error: Exception | None) -> None:
    """Tell those who wait, unless they went away."""
    for file in files:
        if file.published.done():
            continue
        if error is None:
            file.published.set_result(None)
        else:
            file.published.set_exception(error)


class Outcomes:
    """Writes each outcome once; raises LeaseLost when it is not ours to tell any more.

    What was worked out is kept until the database takes it, or the service ends.
    """

    def __init__(self, queue: QueueManager, threads: Executor, max_attempts: int, pause_seconds: float) -> None:
        self._queue = queue
        self._threads = threads
        self._max_attempts = max_attempts
        self._pause_seconds = pause_seconds
        self._ending = False
        self._finished: list[Finished] = []
        self._publishing: asyncio.Task[None] | None = None

    def end(self) -> None:
        """From now on trouble is raised, as DatabaseError, and what is not told is done again by the next worker."""
        self._ending = True

    async def complete(self, lease: Lease, outcome: Outcome) -> None:
        """Publish a result that is in storage, together with others that are finished by then."""
        await self._flush(outcome.output_key)
        published: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._finished.append(Finished(lease, outcome, published))
        if self._publishing is None or self._publishing.done():
            self._publishing = asyncio.create_task(self._publish(), name="publish")
        await published
        logger.info("%s: completed in %.2f s", named(lease), outcome.seconds)

    async def _flush(self, key: str) -> None:
        """Raises StorageError, and then the bytes are gone: they may be what fills the disk."""
        loop, storage = asyncio.get_running_loop(), self._queue.storage
        try:
            await loop.run_in_executor(self._threads, storage.flush, key)
        except StorageError:
            with contextlib.suppress(StorageError):  # left for the sweep
                await loop.run_in_executor(self._threads, storage.delete, key)
            raise

    async def _publish(self) -> None:
        """What finishes while a transaction is written goes into the next one."""
        while self._finished:
            together, self._finished = self._finished, []
            await self._publish_group(together)

    async def _publish_group(self, together: Sequence[Finished]) -> None:
        results = [(file.lease, file.outcome) for file in together]
        names = ", ".join(named(lease) for lease, _ in results)
        try:
            lost = await self._tell(names, self._queue.complete_many, results)
        except Exception as error:  # noqa: BLE001 - handed to those who wait for it
            if isinstance(error, DatabaseError) or len(together) == 1:
                answer(together, error)
                return
            for file in together:  # whose fault was it?
                await self._publish_group([file])
            return
        answer([file for file in together if file.lease not in lost], None)
        answer([file for file in together if file.lease in lost], LeaseLost("Another lease owns the file by now."))

    async def fail(self, lease: Lease, error: ServiceError, begin: float) -> None:
        """`begin`: of the work on it, by the monotonic clock."""
        logger.warning("%s: failed: %s", named(lease), error)
        seconds = round(time.monotonic() - begin, 3)
        await self._tell(named(lease), self._queue.fail, lease, error.code, error.detail, seconds)

    async def retry_or_fail(self, lease: Lease, error: ServiceError, begin: float) -> None:
        """Count the attempt; after the last one the file fails."""
        attempts = lease.file.attempts + 1
        if attempts >= self._max_attempts:
            await self.fail(lease, error, begin)
            return
        delay = delay_seconds(attempts, random.random())
        await self._tell(named(lease), self._queue.retry_later, lease, error.code, error.detail, delay)
        logger.warning("%s: attempt %d failed, again in %.1f s: %s", named(lease), attempts, delay, error)

    async def give_back(self, lease: Lease) -> None:
        """Untouched, for anybody to take."""
        await self._tell(named(lease), self._queue.release, [lease])

    async def _tell(self, of_what: str, report: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        trouble = Trouble(logger, f"{of_what}: writing down its outcome")
        while True:
            try:
                told = await asyncio.get_running_loop().run_in_executor(self._threads, lambda: report(*args, **kwargs))
            except DatabaseError as error:
                if self._ending:
                    raise
                trouble.note(error)
                await asyncio.sleep(self._pause_seconds)
            else:
                trouble.over()
                return told
