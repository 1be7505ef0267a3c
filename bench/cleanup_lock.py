"""How long the cleanup of old jobs keeps others from writing."""

import multiprocessing
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from multiprocessing.connection import Connection as Pipe
from multiprocessing.synchronize import Event

from sqlalchemy import Connection

from database.engine import Database
from job import utc_now
from queue_manager import QueueManager

# Between two tries for the lock, and between two writes of the process that waits.
TRY_SECONDS = 0.0005
WRITE_SECONDS = 0.01


@dataclass
class Lock:
    """What one cleanup did: jobs deleted, and milliseconds of each wait for and of each hold of the write lock."""

    jobs: int = 0
    seconds: float = 0.0
    held_ms: list[float] = field(default_factory=list)
    waited_ms: list[float] = field(default_factory=list)


class TimedDatabase(Database):
    """Notes how long each of its write transactions held the lock, commit included."""

    held_ms: list[float]

    @contextmanager
    def write(self) -> Iterator[Connection]:
        begin = time.perf_counter()
        try:
            with super().write() as connection:
                begin = time.perf_counter()
                yield connection
        finally:
            self.held_ms.append((time.perf_counter() - begin) * 1000)


def clean_up(queue: QueueManager, old: int) -> Lock:
    """Delete the `old` jobs that ended first, while another process goes on writing."""
    with queue.database.read() as connection:
        (kept_since,) = connection.exec_driver_sql(
            "SELECT kept_since FROM jobs WHERE kept_since IS NOT NULL ORDER BY kept_since LIMIT 1 OFFSET ?", (old,)
        ).one()
    now = utc_now()
    # A millisecond more, as the cleanup takes what is older than so many days.
    days = (now - datetime.fromisoformat(kept_since) + timedelta(milliseconds=1)) / timedelta(days=1)
    database = TimedDatabase(queue.database.url.render_as_string(), "FULL")
    database.held_ms = []
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    started, stop = context.Event(), context.Event()
    writer = context.Process(target=keep_writing, args=(str(queue.database.url.database), started, stop, sender))
    writer.start()
    started.wait()
    begin = time.perf_counter()
    timed = QueueManager(database, queue.storage, queue.limits, clock=lambda: now)
    jobs = timed.cleanup_old_jobs(days)
    seconds = time.perf_counter() - begin
    stop.set()
    waited_ms: list[float] = receiver.recv()
    writer.join()
    database.close()
    return Lock(jobs, seconds, database.held_ms, waited_ms)


def keep_writing(path: str, started: Event, stop: Event, sender: Pipe) -> None:
    """Take the write lock again and again, trying often: SQLite's own waiting would sleep up to 100 ms at a time."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=0)
    waited_ms = []
    started.set()
    while not stop.is_set():
        begin = time.perf_counter()
        while not lock_taken(connection):
            time.sleep(TRY_SECONDS)
        waited_ms.append((time.perf_counter() - begin) * 1000)
        connection.execute("ROLLBACK")
        time.sleep(WRITE_SECONDS)
    connection.close()
    sender.send(waited_ms)


def lock_taken(connection: sqlite3.Connection) -> bool:
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if "locked" not in str(error):
            raise
        return False
    return True
