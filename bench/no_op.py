"""Files a second that the queue hands out and takes back when the work itself takes no time."""

import asyncio
import os
import time
from pathlib import Path

from bench.filled_queue import fill
from job import Outcome
from job_worker import JobWorker
from models.weights import open_store
from operations.child import Task
from operations.pool import ChildPool, Plan
from queue_manager import QueueManager
from settings import Settings
from storage.local import LocalStorage
from tests.queues import outcome

MODEL = "u2netp"
LOOK_SECONDS = 0.02


class NoBytes(LocalStorage):
    """Work that takes no time has no result to be flushed to the disk."""

    def flush(self, key: str) -> None:
        pass


class NoOpPool(ChildPool):
    """Says at once that a picture is finished: what is left is the worker's and the queue's own work."""

    def warm(self, model: str, weights: tuple[Path, ...]) -> None:
        pass

    def warm_models(self) -> list[str]:
        return [MODEL]

    def run(
        self,
        lease: str,
        model: str,
        weights: tuple[Path, ...],
        task: Task,
        timeout_seconds: float,
        alone: bool = False,
    ) -> Outcome:
        return Outcome(task.output_key, 1000, "ab" * 32, "image/png", "png", 640, 480, 0.001)


def waiting_queue(folder: Path, files: int, synchronous: str) -> QueueManager:
    folder.mkdir(parents=True)
    queue = fill(folder, files, pending=files, synchronous=synchronous)
    queue.storage = NoBytes(folder / "data")
    return queue


def through_queue(folder: Path, files: int, batch: int, synchronous: str) -> float:
    """Claim and complete `batch` files at a time; files a second."""
    queue = waiting_queue(folder, files, synchronous)
    begin = time.perf_counter()
    while leases := queue.claim("worker", batch):
        queue.complete_many([(lease, outcome(lease)) for lease in leases])
    rate = files / (time.perf_counter() - begin)
    queue.database.close()
    return rate


def through_worker(folder: Path, files: int, synchronous: str, slots: int) -> float:
    """The same by a real JobWorker with so many slots, whose children take no time; files a second."""
    queue = waiting_queue(folder, files, synchronous)
    settings = Settings(data_dir=folder, default_model=MODEL, max_concurrent=slots)
    pool = NoOpPool(
        storage=queue.storage,
        plan=Plan(1, 1),
        memory_bytes=0,
        child_max_files=1,
        load_timeout_seconds=1.0,
        max_pixels=1,
        max_idle=0,
    )
    worker = JobWorker(queue, settings, pool, open_store(os.environ))

    async def work_off() -> float:
        begin = time.perf_counter()
        await worker.start()
        while queue.get_job_stats()["completed"] < files:  # noqa: ASYNC110 - an outside view
            await asyncio.sleep(LOOK_SECONDS)
        seconds = time.perf_counter() - begin
        await worker.stop()
        return seconds

    rate = files / asyncio.run(work_off())
    queue.database.close()
    return rate
