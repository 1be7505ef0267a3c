"""The place of a file in the queue: exact where people look, near enough beyond, never a walk through everything."""

import pytest
from sqlalchemy.dialects import sqlite

from database import places
from database.engine import Database
from database.file_store import FileStore
from database.job_store import JobStore
from database.places import COUNTED_FILES
from job import JobStatus
from tests.database.jobs import LEASE_SECONDS, NOW, add_job

MANY = COUNTED_FILES + 200


def test_a_near_place_is_exact_whatever_is_missing_before_it(jobs: JobStore, files: FileStore) -> None:
    add_job(jobs, 10)
    cancelled, last = add_job(jobs, 5), add_job(jobs)
    jobs.cancel(NOW, cancelled, [JobStatus.PENDING])
    files.claim(NOW, 3, "worker", "token", LEASE_SECONDS)
    assert jobs.pending_before(last) == 7


def test_a_far_place_is_exact_in_a_queue_without_gaps(jobs: JobStore, files: FileStore) -> None:
    add_job(jobs, MANY)
    last = add_job(jobs)
    assert jobs.pending_before(last) == MANY
    files.claim(NOW, 50, "worker", "token", LEASE_SECONDS)
    assert jobs.pending_before(last) == MANY - 50


def test_a_far_place_is_between_what_was_counted_and_all_that_wait(jobs: JobStore) -> None:
    add_job(jobs, COUNTED_FILES)
    cancelled = add_job(jobs, MANY)
    last = add_job(jobs)
    jobs.cancel(NOW, cancelled, [JobStatus.PENDING])
    add_job(jobs, 100)
    estimated = jobs.pending_before(last)
    assert estimated is not None
    assert COUNTED_FILES <= estimated <= COUNTED_FILES + 100


@pytest.mark.parametrize("name", ["COUNT_MORE_URGENT", "COUNT_EARLIER", "FIRST_EARLIER"])
def test_places_are_told_by_the_index_of_pending_files(database: Database, jobs: JobStore, name: str) -> None:
    add_job(jobs, 3)
    compiled = getattr(places, name).compile(dialect=sqlite.dialect())
    given = [{"rank": 0, "file": 3, **compiled.params}[key] or 0 for key in compiled.positiontup]
    with database.read() as connection:
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", tuple(given)).all()
    told = "\n".join(str(row) for row in rows)
    assert "ix_job_files_pending (priority" in told
    assert "TEMP B-TREE" not in told
