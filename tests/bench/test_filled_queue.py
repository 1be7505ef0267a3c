"""A queue that was filled fast is one that the real code could have left behind."""

from datetime import timedelta
from pathlib import Path

import pytest

from bench.filled_queue import fill
from job import JobStatus, timestamp, utc_now
from queue_manager import QueueManager
from tests.database.jobs import contradictions, counted, recounted
from tests.queues import claim, fail, finish, job_in, submit

JOBS, PENDING = 200, 30


@pytest.fixture
def filled(tmp_path: Path) -> QueueManager:
    return fill(tmp_path / "filled", JOBS, PENDING)


def shapes(queue: QueueManager) -> set[tuple[object, ...]]:
    """Of every file with its job: states, and which columns hold anything."""
    with queue.database.read() as connection:
        rows = connection.exec_driver_sql("SELECT * FROM jobs JOIN job_files ON job_id = jobs.id")
        names = list(rows.keys())
        found = set()
        for row in rows:
            told = [value for name, value in zip(names, row, strict=True) if name in ("status", "job_type", "params")]
            found.add((*told, *(value is not None for value in row)))
        return found


def test_it_has_the_jobs_that_were_asked_for(filled: QueueManager) -> None:
    stats = filled.get_job_stats()
    assert (stats["total"], stats["pending"]) == (JOBS, PENDING)
    assert min(stats["completed"], stats["failed"], stats["cancelled"]) > 0
    assert any(job.job_type == "batch" for job in filled.list_jobs(JobStatus.COMPLETED, JOBS).jobs)


def test_its_rows_are_such_as_the_real_code_leaves(filled: QueueManager, queue: QueueManager) -> None:
    assert contradictions(filled.database) == []
    assert counted(filled.database) == recounted(filled.database)
    for status in (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED):
        job_in(queue, status)
    job_in(queue, JobStatus.COMPLETED, "a.png", "b.png")
    submit(queue)
    assert shapes(filled) == shapes(queue)


def test_its_jobs_lie_in_the_past_in_order_and_the_newest_wait(filled: QueueManager) -> None:
    jobs = list(filled.list_jobs(None, JOBS).jobs)
    assert all(job.status is JobStatus.PENDING for job in jobs[:PENDING])
    assert all(job.status.ended for job in jobs[PENDING:])
    assert len({job.created_at for job in jobs}) == JOBS
    assert timestamp(utc_now() - timedelta(days=6, hours=1)) < jobs[-1].created_at < jobs[0].created_at
    assert jobs[0].created_at < timestamp(utc_now())


def test_it_goes_on_like_any_queue(filled: QueueManager) -> None:
    submit(filled)
    first, second, *_ = leases = claim(filled)
    assert len(leases) == PENDING + 1
    finish(filled, first)
    fail(filled, second)
    assert filled.cleanup_old_jobs(days=3) > JOBS // 3
    assert contradictions(filled.database) == []
    assert counted(filled.database) == recounted(filled.database)
