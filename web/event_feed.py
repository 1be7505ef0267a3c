"""Changes of jobs and of the counts, told to all who listen in this process: one reading of the database for all.

No stream has a queue of its own. Each knows which number it has seen and takes what comes after it when its connection
has room; one that falls behind what is kept here reads the database, where every job has its latest number.
"""

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import AsyncGenerator, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from fastapi.sse import format_sse_event
from starlette.concurrency import run_in_threadpool

from errors import DatabaseError, JobExpired, JobNotFound
from job import Job
from log_setup import Trouble
from queue_manager import QueueManager
from settings import Settings
from web import schemas
from web.queue_routes import stats, viewed
from web.recent_events import Event, RecentEvents

logger = logging.getLogger(__name__)

# More changed jobs than these are not told one by one to a client that comes back: it loads its lists again.
MOST_REPLAYED = 1000
# Between two readings, however much happens meanwhile: it is told together.
SHORTEST_PAUSE_SECONDS = 0.1
# Counts, and places in the queue of single jobs, are told again at most as often as this.
STATS_SECONDS = 1.0
# Reading single jobs for those who follow them takes at most one part in so many of the time.
VIEWS_SHARE = 10
KEEP_ALIVE_SECONDS = 15.0
MOST_NAMES = 20

KEEP_ALIVE = b": still here\n\n"
# After how many milliseconds a browser that lost its stream comes back.
RETRY = format_sse_event(retry=2000)
END = format_sse_event(event="end", data_str="{}")
FROM_ELSEWHERE = "The Last-Event-ID is later than anything that happened here: it is of another database."
TOO_LONG_AGO = f"Since the Last-Event-ID more than {MOST_REPLAYED} jobs have changed, or more than fits."


@dataclass(frozen=True)
class Told:
    """One job, as those who follow it alone were told last."""

    wire: bytes
    ended: bool


@dataclass(frozen=True)
class Reading:
    """What one look into the database found."""

    newest: int
    events: Sequence[Event]
    more: bool
    stats: str | None
    views: Mapping[str, Told]
    views_seconds: float


class EventFeed:
    """Whoever listens, in this process. Everything but what reads the database happens in the event loop."""

    def __init__(self, queue: QueueManager, settings: Settings) -> None:
        self._queue = queue
        self._settings = settings
        # Whose loop it is shows when somebody listens.
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listeners = 0
        self._followed: Counter[str] = Counter()
        self._reader: asyncio.Task[None] | None = None
        self._look = asyncio.Event()
        self._news = asyncio.Event()
        self._ending = False
        # None until the first reading, and while nobody listens.
        self._recent: RecentEvents | None = None
        self._stats = ""
        self._told: dict[str, Told] = {}
        self._stats_at = self._views_at = 0.0
        queue.on_submit.add(self._wake)
        queue.on_end.add(lambda job_ids: self._wake())

    def end(self) -> None:
        """The service stops: every stream ends now."""
        self._ending = True
        self._news.set()
        self._look.set()

    # --- streams --------------------------------------------------------------------------------------------

    async def of_all_jobs(self, seen: int | None) -> AsyncGenerator[bytes]:
        """Every change after the number that was `seen`, else from now on; and the counts."""
        with self._listening():
            yield RETRY
            while (recent := self._recent) is None and not self._ending:
                if not await self._something_new(self._news, KEEP_ALIVE_SECONDS):
                    yield KEEP_ALIVE
            if recent is None:
                return
            if seen is None:
                seen = recent.newest
            elif reason := await self._reason_to_reset(recent, seen):
                seen = recent.newest
                yield reset(seen, reason)
            counts = self._stats
            # With the number, so that a client that comes back before the first change misses none.
            yield format_sse_event(event="stats", data_str=counts, id=str(seen))
            silent_since = time.monotonic()
            while not self._ending:
                news = self._news
                if seen < recent.floor and (reason := await self._reason_to_reset(recent, seen)):
                    seen = recent.newest
                    yield reset(seen, reason)
                piece, seen = recent.after(seen)
                if counts != self._stats:
                    counts = self._stats
                    piece += format_sse_event(event="stats", data_str=counts)
                if not piece and not await self._something_new(news, silence_left(silent_since)):
                    piece = KEEP_ALIVE
                if piece:
                    yield piece
                    silent_since = time.monotonic()

    async def of_job(self, job_id: str) -> AsyncGenerator[bytes]:
        """The job now and whenever it shows something else, until it has ended."""
        with self._listening(job_id):
            yield RETRY
            told = None
            silent_since = time.monotonic()
            while not self._ending:
                news = self._news
                latest = self._told.get(job_id)
                if latest is not None and latest is not told:
                    told = latest
                    yield told.wire
                    silent_since = time.monotonic()
                    if told.ended:
                        return
                elif not await self._something_new(news, silence_left(silent_since)):
                    yield KEEP_ALIVE
                    silent_since = time.monotonic()

    async def _something_new(self, news: asyncio.Event, seconds: float) -> bool:
        """Whether there was anything new in time, for whichever stream."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await news.wait()
        return news.is_set()

    async def _reason_to_reset(self, recent: RecentEvents, seen: int) -> str | None:
        """None when all that came after `seen` is in `recent` by now."""
        if recent.floor <= seen <= recent.newest:
            return None
        while True:
            try:
                newest, events = await run_in_threadpool(self._replay, seen)
                break
            except DatabaseError:  # the reader meets it too, and tells of it
                if self._ending:
                    return None
                await asyncio.sleep(self._settings.poll_seconds)
        if seen > newest:
            return FROM_ELSEWHERE
        # What was dropped meanwhile may be later than what was read.
        if recent.floor > newest or len(events) > MOST_REPLAYED or not recent.reach_back(seen, events):
            return TOO_LONG_AGO
        return None

    @contextlib.contextmanager
    def _listening(self, job_id: str | None = None) -> Iterator[None]:
        self._listeners += 1
        if job_id is not None:
            self._followed[job_id] += 1
        self._look.set()
        if self._reader is None or self._reader.done():
            self._loop = asyncio.get_running_loop()
            self._reader = asyncio.create_task(self._read_while_somebody_listens(), name="events")
        try:
            yield
        finally:
            self._listeners -= 1
            if job_id is not None:
                self._followed[job_id] -= 1
                if not self._followed[job_id]:
                    del self._followed[job_id]
                    self._told.pop(job_id, None)

    # --- reading --------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        """From any thread."""
        if self._listeners and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._look.set)

    async def _read_while_somebody_listens(self) -> None:
        trouble = Trouble(logger, "looking for what has changed")
        while self._listeners and not self._ending:
            self._look.clear()
            newest = None if self._recent is None else self._recent.newest
            now = time.monotonic()
            followed = set(self._followed)
            again = followed if now >= self._views_at else followed - self._told.keys()
            try:
                reading = await run_in_threadpool(self._read, newest, followed, again, now >= self._stats_at)
                self._publish(reading, again == followed)
                trouble.over()
            except Exception as error:  # noqa: BLE001 - told, with its traceback, by Trouble
                trouble.note(error)
            await asyncio.sleep(SHORTEST_PAUSE_SECONDS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.poll_seconds):
                    await self._look.wait()
        self._recent = None

    def _read(self, newest: int | None, followed: Collection[str], again: Collection[str], with_stats: bool) -> Reading:
        """In a thread: what changed after `newest`; of single jobs, those and all that are to be looked at `again`."""
        with self._queue.database.read():
            seen = self._queue.changes.newest() if newest is None else newest
            jobs = self._queue.changes.since(seen, MOST_REPLAYED)
            counts = stats(self._queue, self._settings).model_dump_json() if with_stats else None
            begin = time.monotonic()
            wanted = {*again, *(job.id for job in jobs if job.id in followed)}
            views = {job_id: self._view(job_id) for job_id in wanted}
            return Reading(
                newest=jobs[-1].changed if jobs else seen,
                events=self._events(jobs),
                more=len(jobs) == MOST_REPLAYED,
                stats=counts,
                views=views,
                views_seconds=time.monotonic() - begin,
            )

    def _view(self, job_id: str) -> Told:
        try:
            job, view = self._queue.job(job_id), viewed(self._queue, job_id)
        except (JobNotFound, JobExpired):
            return Told(END, ended=True)
        wire = job_event(job, view)
        return Told(wire + END if job.status.ended else wire, job.status.ended)

    def _replay(self, seen: int) -> tuple[int, Sequence[Event]]:
        """The latest number, and what came after `seen`; one event more than is told when there are too many."""
        with self._queue.database.read():
            jobs = self._queue.changes.since(seen, MOST_REPLAYED + 1)
            return self._queue.changes.newest(), self._events(jobs)

    def _events(self, jobs: Sequence[Job]) -> Sequence[Event]:
        workers = self._queue.workers() if jobs else []
        views = ((job, brief(schemas.job_view(job, workers, with_results=False))) for job in jobs)
        return [Event(job.id, job.changed, job_event(job, view)) for job, view in views]

    def _publish(self, reading: Reading, all_views: bool) -> None:
        now = time.monotonic()
        begun = self._recent is None
        if self._recent is None:
            self._recent = RecentEvents(reading.newest)
        self._recent.add(reading.events)
        if reading.more:
            self._look.set()
        new_stats = reading.stats is not None and reading.stats != self._stats
        if reading.stats is not None:
            self._stats = reading.stats
            self._stats_at = now + STATS_SECONDS
        if all_views:
            self._views_at = now + max(STATS_SECONDS, VIEWS_SHARE * reading.views_seconds)
        new_views = {
            job_id: told
            for job_id, told in reading.views.items()
            if job_id in self._followed and self._told.get(job_id) != told
        }
        self._told |= new_views
        if begun or reading.events or new_stats or new_views:
            self._news.set()
            self._news = asyncio.Event()


def brief(view: schemas.JobView) -> schemas.JobView:
    """For everybody who listens: a batch changes with each of its files, and has up to hundreds of names."""
    return view.model_copy(update={"filenames": view.filenames[:MOST_NAMES]})


def silence_left(since: float) -> float:
    return since + KEEP_ALIVE_SECONDS - time.monotonic()


def job_event(job: Job, view: schemas.JobView) -> bytes:
    return format_sse_event(event="job", data_str=view.model_dump_json(), id=str(job.changed))


def reset(number: int, reason: str) -> bytes:
    return format_sse_event(event="reset", data_str=schemas.ResetView(reason=reason).model_dump_json(), id=str(number))
