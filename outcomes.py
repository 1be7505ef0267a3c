"""What became of a file, told to the queue under its lease: again and again while the database has trouble."""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import ParamSpec

from errors import DatabaseError, ServiceError
from job import Lease, Outcome
from log_setup import Trouble
from queue_manager import QueueManager
from retry_policy import delay_seconds

logger = logging.getLogger(__name__)

P = ParamSpec("P")


def named(lease: Lease) -> str:
    return f"job {lease.file.job_id} file {lease.file.position} ({lease.file.filename})"


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

    def end(self) -> None:
        """From now on trouble is raised, as DatabaseError, and what is not told is done again by the next worker."""
        self._ending = True

    async def complete(self, lease: Lease, outcome: Outcome) -> None:
        """Publish a result that is in storage."""
        await self._tell(named(lease), self._queue.complete, lease, outcome)
        logger.info("%s: completed in %.2f s", named(lease), outcome.seconds)

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

    async def give_back(self, leases: Sequence[Lease]) -> None:
        """Untouched, for anybody to take."""
        await self._tell(", ".join(map(named, leases)), self._queue.release, leases)

    async def _tell(self, of_what: str, report: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        trouble = Trouble(logger, f"{of_what}: writing down its outcome")
        while True:
            try:
                await asyncio.get_running_loop().run_in_executor(self._threads, lambda: report(*args, **kwargs))
            except DatabaseError as error:
                if self._ending:
                    raise
                trouble.note(error)
                await asyncio.sleep(self._pause_seconds)
            else:
                trouble.over()
                return
