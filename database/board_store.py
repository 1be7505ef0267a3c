"""What a board shows beside jobs: who works on what, since when the queue waits, how much ends in a minute."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import dropwhile

from sqlalchemy import Connection, bindparam, select

from database import counting, minutes
from database.engine import Database
from database.job_search import Place, search
from database.job_store import Page
from database.rows import to_file
from database.tables import IS_PENDING, IS_PROCESSING
from database.tables import job_files as files
from job import JobFile, JobFilter, Priority, timestamp

# What ends by chance in one of them says little.
RATE_MINUTES = 5
# How long the minutes are kept.
MINUTES_MEMORY = timedelta(hours=24)


@dataclass(frozen=True)
class Pulse:
    """How the queue is doing at one moment."""

    pending_files: int
    processing_files: int
    # Since when the file waits that is next among those of its priority; of the three the earliest.
    oldest_waiting_at: str | None
    # Files that end in a minute, completed or failed.
    per_minute: float


@dataclass(frozen=True)
class Minute:
    """Files that ended in one minute, by its begin."""

    at: str
    completed: int
    failed: int


class BoardStore:
    """Reads across tables; the only thing it changes is the memory of minutes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def pulse(self, now: datetime) -> Pulse:
        this_minute = minutes.begin_of(now)
        with self._database.read() as connection:
            counts = counting.read(connection)
            ended = minutes.between(connection, this_minute - RATE_MINUTES * minutes.MINUTE, now)
            return Pulse(
                pending_files=counts.get(counting.FILES + "pending", 0),
                processing_files=counts.get(counting.FILES + "processing", 0),
                oldest_waiting_at=oldest_waiting(connection, now),
                per_minute=rate(ended, this_minute),
            )

    def throughput(self, now: datetime, count: int) -> list[Minute]:
        """The last `count` minutes, oldest first; this one, which has not ended, is the last."""
        last = minutes.begin_of(now)
        moments = [last - number * minutes.MINUTE for number in reversed(range(count))]
        with self._database.read() as connection:
            ended = minutes.between(connection, moments[0], last + minutes.MINUTE)
        return [Minute(at, *ended.get(at, (0, 0))) for at in map(timestamp, moments)]

    def forget_minutes(self, now: datetime) -> None:
        with self._database.write() as connection:
            minutes.forget(connection, now - MINUTES_MEMORY)

    def in_hand(self) -> dict[str, list[JobFile]]:
        """Files under a lease by the id of their worker, in the order in which they were claimed."""
        found: dict[str, list[JobFile]] = {}
        with self._database.read() as connection:
            for row in connection.execute(IN_HAND).mappings():
                found.setdefault(row["worker_id"], []).append(to_file(row))
        return found

    def jobs(self, wanted: JobFilter, limit: int, before: Place | None) -> Page:
        """Jobs newest first; `before` is the `next` of the page before."""
        with self._database.read() as connection:
            return search(connection, wanted, limit, before)

    def files(self, job_id: str, limit: int, after: int) -> list[JobFile]:
        """Up to `limit` files of the job whose position is beyond `after`."""
        with self._database.read() as connection:
            rows = connection.execute(FILES_AFTER, {"job": job_id, "after": after, "limit": limit})
            return [to_file(row) for row in rows.mappings()]


def rate(ended: Mapping[str, tuple[int, int]], this_minute: datetime) -> float:
    """Files that end in a minute: the mean of the last complete ones, beginning with the first in which any ended.

    While there is no such minute, it is what has ended in this one so far.
    """
    last = [timestamp(this_minute - number * minutes.MINUTE) for number in reversed(range(RATE_MINUTES + 1))]
    *complete, so_far = [sum(ended.get(at, (0, 0))) for at in last]
    busy = list(dropwhile(lambda count: count == 0, complete))
    return sum(busy) / len(busy) if busy else float(so_far)


def oldest_waiting(connection: Connection, now: datetime) -> str | None:
    moment = timestamp(now)
    waiting = (connection.execute(NEXT, {"rank": priority.rank, "now": moment}).scalar() for priority in Priority)
    return min((since for since in waiting if since is not None), default=None)


# --- statements, built once: SQLAlchemy takes several times as long to build one as to run it ---------------------

NEXT = (
    select(files.c.available_at)
    .where(
        files.c.status == IS_PENDING, files.c.priority == bindparam("rank"), files.c.available_at <= bindparam("now")
    )
    .order_by(files.c.id)
    .limit(1)
)
IN_HAND = (
    select(files).where(files.c.status == IS_PROCESSING).order_by(files.c.started_at, files.c.priority, files.c.id)
)
FILES_AFTER = (
    select(files)
    .where(files.c.job_id == bindparam("job"), files.c.position > bindparam("after"))
    .order_by(files.c.position)
    .limit(bindparam("limit"))
)
