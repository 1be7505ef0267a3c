"""Waiting for the end of a job without asking for it: one look into the database for all who wait."""

import asyncio
import contextlib
import logging
import re
from collections.abc import Collection

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request

from log_setup import Trouble
from queue_manager import QueueManager

# Preferences of RFC 7240: commas stand between them, and may stand in their quoted texts.
PREFERENCE = re.compile(r'(?:"(?:[^"\\]|\\.?)*+"?|[^",])+')
# What is none of those that are known is ignored, as it wants.
WAIT = re.compile(r'\s*wait\s*=\s*("?)(\d{1,9})\1\s*(?:;|$)', re.IGNORECASE)
logger = logging.getLogger(__name__)

# How often we look, in seconds, for what other processes bring to an end; of our own we hear at once.
LOOK_SECONDS = 0.2
# How long one who waits is kept when the service stops: what is in hand may still be finished by then.
GOODBYE_SECONDS = 3.0


class Waiting:
    """Those who wait for jobs, in this process; what it does it does in the event loop, apart from `_told`."""

    def __init__(self, queue: QueueManager) -> None:
        self._queue = queue
        # Whose loop it is shows when somebody waits.
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: dict[str, set[asyncio.Future[bool]]] = {}
        self._look = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None
        self._ending = False
        queue.on_end.add(self._told)

    async def until_end(self, job_id: str, seconds: float, request: Request) -> bool:
        """Whether the job has ended in time. Raises ClientDisconnect when the client hung up first.

        The request's body must have been read.
        """
        if seconds <= 0:
            return not await run_in_threadpool(self._queue.unfinished, {job_id})
        self._loop = asyncio.get_running_loop()
        ended: asyncio.Future[bool] = self._loop.create_future()
        self._waiting.setdefault(job_id, set()).add(ended)
        self._look.set()
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_while_somebody_waits(), name="waiting for jobs")
        hung_up = asyncio.create_task(disconnected(request))
        limit = min(seconds, GOODBYE_SECONDS) if self._ending else seconds
        try:
            await asyncio.wait((ended, hung_up), timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._forget(job_id, ended)
            hung_up.cancel()
        if ended.done():
            return ended.result()
        if hung_up.done():
            raise ClientDisconnect
        return False

    def end_soon(self) -> None:
        """The service stops: nobody waits for longer than GOODBYE_SECONDS from now."""
        self._ending = True
        asyncio.get_running_loop().call_later(GOODBYE_SECONDS, self._give_up)

    def _give_up(self) -> None:
        for job_id in self._waiting:
            self._answer(job_id, False)

    def _told(self, job_ids: Collection[str]) -> None:
        """From any thread."""
        if self._loop is None or self._loop.is_closed() or self._waiting.keys().isdisjoint(job_ids):
            return
        self._loop.call_soon_threadsafe(self._look.set)

    async def _look_while_somebody_waits(self) -> None:
        trouble = Trouble(logger, "looking for jobs that have ended")
        while self._waiting:
            self._look.clear()
            try:
                asked = set(self._waiting)
                for job_id in asked - await run_in_threadpool(self._queue.unfinished, asked):
                    self._answer(job_id, True)
                trouble.over()
            except Exception as error:  # noqa: BLE001 - told, with its traceback, by Trouble
                trouble.note(error)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._look.wait(), LOOK_SECONDS)

    def _answer(self, job_id: str, ended: bool) -> None:
        for waiting in self._waiting.get(job_id, ()):
            if not waiting.done():
                waiting.set_result(ended)

    def _forget(self, job_id: str, ended: asyncio.Future[bool]) -> None:
        waiting = self._waiting[job_id]
        waiting.discard(ended)
        if not waiting:
            del self._waiting[job_id]


def preferred_seconds(headers: Headers) -> float | None:
    """How long the client would wait by its `Prefer: wait=N`; None when it says nothing of that."""
    preferences = PREFERENCE.findall(", ".join(headers.getlist("prefer")))
    return next((float(wait[2]) for wait in map(WAIT.match, preferences) if wait), None)


async def disconnected(request: Request) -> None:
    """Comes back when the client has hung up."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
