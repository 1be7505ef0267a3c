"""A queue with a long history, made fast: the real code makes one job of each kind, and rows are copied from those."""

import random
import sqlite3
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from app import open_queue
from job import timestamp, utc_now
from queue_manager import QueueManager
from settings import Settings
from tests.queues import fail, finish, submit

Row = dict[str, Any]

# How many of a hundred ended jobs are of which kind.
KINDS = ("completed",) * 85 + ("batch",) * 5 + ("failed",) * 5 + ("cancelled",) * 5
HISTORY = timedelta(days=6)
TIMES = ("created_at", "started_at", "completed_at", "kept_since", "available_at")
KEYS = ("input_key", "output_key")
# Enough for the whole index of random ids, or a million inserts would read and write each page many times.
CACHE_KIB = 2**20


@dataclass(frozen=True)
class Sample:
    """Rows that the real code left behind for one job."""

    job: Row
    files: Sequence[Row]


def fill(folder: Path, jobs: int, pending: int, synchronous: str = "NORMAL") -> QueueManager:
    """A queue in `folder` with so many jobs, of which the newest are pending, the others ended in the last six days.

    Their pictures are in no storage.
    """
    settings = Settings(data_dir=folder, sqlite_synchronous=synchronous, max_pending_files=max(100_000, 2 * pending))
    queue = open_queue(settings)
    samples = make_samples(queue)
    queue.database.close()
    with sqlite3.connect(folder / "queue.db", isolation_level=None) as connection:
        for pragma in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{CACHE_KIB}"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("BEGIN EXCLUSIVE")
        for table in ("job_files", "jobs", "counters"):
            connection.execute(f"DELETE FROM {table}")
        copy(connection, samples, jobs, pending)
        connection.execute("COMMIT")
    connection.close()
    return open_queue(settings)


def make_samples(queue: QueueManager) -> Mapping[str, Sample]:
    """One job of each kind, by the way that every job goes."""
    ids = {}
    for kind in ("completed", "batch", "failed"):
        ids[kind] = submit(queue, *(f"photo-{n}.jpg" for n in range(4 if kind == "batch" else 1)))
        for lease in queue.claim("worker", 100):
            if kind == "failed":
                fail(queue, lease)
            else:
                finish(queue, lease)
    ids["cancelled"] = submit(queue)
    queue.cancel_job(ids["cancelled"])
    ids["pending"] = submit(queue)
    return {kind: sample(queue, job_id) for kind, job_id in ids.items()}


def sample(queue: QueueManager, job_id: str) -> Sample:
    with queue.database.read() as connection:
        job = connection.exec_driver_sql("SELECT * FROM jobs WHERE id = ?", (job_id,)).mappings().one()
        files = connection.exec_driver_sql("SELECT * FROM job_files WHERE job_id = ? ORDER BY id", (job_id,)).mappings()
        return Sample(dict(job), [{name: row[name] for name in row if name != "id"} for row in files])


def copy(connection: sqlite3.Connection, samples: Mapping[str, Sample], jobs: int, pending: int) -> None:
    """Write so many copies, oldest first, and the counters of all of them."""
    counted: Counter[str] = Counter()

    def kinds() -> Iterator[Sample]:
        for number in range(jobs):
            kind = KINDS[number * 37 % len(KINDS)] if number < jobs - pending else "pending"
            made = samples[kind]
            counted[f"jobs.{made.job['status']}"] += 1
            counted.update(f"files.{file['status']}" for file in made.files)
            yield made

    chance = random.Random(jobs)
    begin = utc_now() - HISTORY
    step = HISTORY / jobs
    chunk: list[tuple[Row, list[Row]]] = []
    for number, made in enumerate(kinds()):
        job_id = str(uuid.UUID(int=chance.getrandbits(128), version=4))
        chunk.append(copied(made, job_id, begin + number * step, number + 1))
        if len(chunk) == 10_000:
            write(connection, chunk)
            chunk.clear()
    write(connection, chunk)
    counted["changes"] = jobs
    connection.executemany("INSERT INTO counters (name, value) VALUES (?, ?)", sorted(counted.items()))


def copied(made: Sample, job_id: str, created_at: datetime, change: int) -> tuple[Row, list[Row]]:
    """The same rows under another id and at another time; how far its moments lie apart stays the same."""
    later = created_at - datetime.fromisoformat(made.job["created_at"])

    def changed(row: Row) -> Row:
        times = {name: moved(row[name], later) for name in TIMES if row.get(name)}
        keys = {
            name: row[name].replace(made.job["id"], job_id) for name in ("input_key", "output_key") if row.get(name)
        }
        return {**row, **times, **keys}

    # All pictures are different: none is answered with the result of another.
    return changed(made.job) | {"id": job_id, "changed": change}, [
        changed(file) | {"job_id": job_id, "reuse_key": uuid.uuid5(uuid.UUID(job_id), str(position)).hex}
        for position, file in enumerate(made.files)
    ]


def moved(moment: str, later: timedelta) -> str:
    return timestamp(datetime.fromisoformat(moment) + later)


def write(connection: sqlite3.Connection, chunk: Sequence[tuple[Row, Sequence[Row]]]) -> None:
    for table, rows in (
        ("jobs", [job for job, _ in chunk]),
        ("job_files", [file for _, files in chunk for file in files]),
    ):
        if rows:
            names = ", ".join(rows[0])
            places = ", ".join(f":{name}" for name in rows[0])
            connection.executemany(f"INSERT INTO {table} ({names}) VALUES ({places})", rows)
