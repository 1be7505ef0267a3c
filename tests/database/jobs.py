"""Rows for store tests, and what must be true of all rows at any time."""

import uuid
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime

from sqlalchemy import func, select

from database import changes
from database.engine import Database
from database.job_store import JobStore
from database.tables import counters, job_files, jobs
from job import JobStatus, NewFile, Outcome, Priority

NOW = datetime(2026, 11, 1, 12, 0, 0, tzinfo=UTC)
LEASE_SECONDS = 60.0
OUTCOME = Outcome("results/a/0-t", 10, "ab" * 32, "image/png", "png", 4, 3, 0.5, {"first_frame": True})


def add_job(store: JobStore, count: int = 1, model: str = "u2netp", now: datetime = NOW) -> str:
    """A pending job; nothing of it is in any storage."""
    job_id = str(uuid.uuid4())
    files = [NewFile(f"{n}.png", f"uploads/{job_id}/{n}", 100, "cd" * 32, "png") for n in range(count)]
    store.insert(
        now, job_id, "remove_background", model, {"model": model}, {}, Priority.NORMAL, files, [], 1_000_000, None
    )
    return job_id


def counted(database: Database) -> Mapping[str, int]:
    """The counters of jobs and files that are not zero."""
    with database.read() as connection:
        rows = connection.execute(
            select(counters.c.name, counters.c.value).where(counters.c.value != 0, counters.c.name != changes.COUNTER)
        )
        return dict(rows.all())


def recounted(database: Database) -> Mapping[str, int]:
    """What the counters ought to be."""
    found: dict[str, int] = {}
    with database.read() as connection:
        for kind, table in (("jobs", jobs), ("files", job_files)):
            rows = connection.execute(select(table.c.status, func.count()).group_by(table.c.status))
            found |= {f"{kind}.{status}": count for status, count in rows}
    return found


def states(database: Database) -> tuple[dict[str, JobStatus], dict[int, JobStatus]]:
    """Of every job and of every file, by id."""
    with database.read() as connection:
        of_jobs = connection.execute(select(jobs.c.id, jobs.c.status))
        of_files = connection.execute(select(job_files.c.id, job_files.c.status))
        return {key: JobStatus(value) for key, value in of_jobs}, {key: JobStatus(value) for key, value in of_files}


def contradictions(database: Database) -> list[str]:
    """Jobs that disagree with their own files."""
    found = []
    with database.read() as connection:
        for job in connection.execute(select(jobs)).mappings():
            rows = connection.execute(select(job_files).where(job_files.c.job_id == job["id"])).mappings().all()
            ends = Counter(JobStatus(row["status"]) for row in rows)
            status = JobStatus(job["status"])
            waiting = ends[JobStatus.PENDING] + ends[JobStatus.PROCESSING]
            truths = {
                "processed_files": job["processed_files"] == ends[JobStatus.COMPLETED],
                "failed_files": job["failed_files"] == ends[JobStatus.FAILED],
                "total_files": job["total_files"] == len(rows),
                "ended when its last file has": status.ended == (waiting == 0),
                "completed_at": status.ended == (job["completed_at"] is not None),
                "results": status.ended == (job["results"] is not None),
                "pending while nothing is being done": status is not JobStatus.PENDING
                or not any(row["status"] == JobStatus.PROCESSING for row in rows),
                "leased while processing": all(
                    (row["status"] == JobStatus.PROCESSING)
                    == (row["lease_token"] is not None)
                    == (row["lease_expires_at"] is not None)
                    for row in rows
                ),
            }
            found += [f"{status} job {job['id']}: {name}" for name, true in truths.items() if not true]
    return found
