"""Pictures without a job: bytes in, bytes out, through the same children and slots as the queue's files."""

import asyncio
import uuid
from collections.abc import Callable
from concurrent.futures import Executor
from typing import ParamSpec, TypeVar

from job import preview_keys
from model_downloads import ModelDownloads
from models.catalog import Model
from operations.child import Task
from operations.pool import ChildPool
from storage.base import Storage

P = ParamSpec("P")
T = TypeVar("T")


class DirectWork:
    """What is asked for by callers in this process, and waited for by them."""

    def __init__(
        self,
        pool: ChildPool,
        storage: Storage,
        slots: asyncio.Semaphore,
        downloads: ModelDownloads,
        threads: Executor,
        timeout_seconds: float,
    ) -> None:
        self.running: set[asyncio.Task[bytes]] = set()
        self._pool = pool
        self._storage = storage
        self._slots = slots
        self._downloads = downloads
        self._threads = threads
        self._timeout_seconds = timeout_seconds

    def start(self, data: bytes, model: Model) -> asyncio.Task[bytes]:
        """Begin to cut out one picture; cancelling the task stops the child that works on it."""
        work = asyncio.create_task(self._process(data, model))
        self.running.add(work)
        work.add_done_callback(self.running.discard)
        return work

    async def _process(self, data: bytes, model: Model) -> bytes:
        name = f"direct-{uuid.uuid4().hex}"
        task = Task("remove_background", {"model": model.name}, f"direct/{name}/input", f"direct/{name}/output")
        weights = await self._downloads.wait_for(model)
        try:
            async with self._slots:
                await self._thread(self._storage.put, task.input_key, data)
                running = asyncio.ensure_future(
                    self._thread(self._pool.run, name, model.name, weights, task, self._timeout_seconds)
                )
                try:
                    await asyncio.shield(running)
                except asyncio.CancelledError:
                    # The slot is free only when the child has stopped.
                    self._pool.kill(name)
                    await asyncio.gather(running, return_exceptions=True)
                    raise
                return await self._thread(self._storage.get, task.output_key)
        finally:
            for key in (task.input_key, task.output_key, *preview_keys(task.output_key)):
                await self._thread(self._storage.delete, key)

    async def _thread(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: function(*args, **kwargs))
