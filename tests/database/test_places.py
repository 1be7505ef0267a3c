"""The place of a file in the queue: exact where people look, near enough beyond, never a walk through everything."""

import pytest
from sqlalchemy import update
from sqlalchemy.dialects import sqlite

from database import places
from database.act_store import ActStore
from database.engine import Database
from database.file_store import FileStore
from database.job_store import JobStore
from database.places import COUNTED_FILES
from database.tables import job_files
from tests.database.jobs import CANCEL, LEASE_SECONDS, NOW, add_job

MANY = COUNTED_FILES + 200


def test_a_near_place_is_exact_whatever_is_missing_before_it(jobs: JobStore, acts: ActStore, files: FileStore) -> None:
    add_job(jobs, 10)
    cancelled, last = add_job(jobs, 5), add_job(jobs)
    acts.do(NOW, CANCEL, [cancelled], None)
    files.claim(NOW, 3, "worker", "token", LEASE_SECONDS)
    assert jobs.pending_before(last) == 7


def test_a_far_place_is_exact_in_a_queue_without_gaps(jobs: JobStore, files: FileStore) -> None:
    add_job(jobs, MANY)
    last = add_job(jobs)
    assert jobs.pending_before(last) == MANY
    files.claim(NOW, 50, "worker", "token", LEASE_SECONDS)
    assert jobs.pending_before(last) == MANY - 50


def test_a_far_place_is_between_what_was_counted_and_all_that_wait(jobs: JobStore, acts: ActStore) -> None:
    add_job(jobs, COUNTED_FILES)
    cancelled = add_job(jobs, MANY)
    last = add_job(jobs)
    acts.do(NOW, CANCEL, [cancelled], None)
    add_job(jobs, 100)
    estimated = jobs.pending_before(last)
    assert estimated is not None
    assert COUNTED_FILES <= estimated <= COUNTED_FILES + 100


def test_what_has_waited_for_long_at_the_head_does_not_spoil_the_estimate(
    jobs: JobStore, acts: ActStore, files: FileStore
) -> None:
    add_job(jobs)
    (straggler,) = files.claim(NOW, 1, "worker", "token", LEASE_SECONDS)
    gone = add_job(jobs, MANY)
    acts.do(NOW, CANCEL, [gone], None)
    files.retry_later(NOW, straggler.id, "token", "timeout", "It took too long.", 5)
    add_job(jobs, MANY)
    last = add_job(jobs)
    add_job(jobs, MANY)
    assert jobs.pending_before(last) == MANY + 1


def test_more_urgent_files_stand_before_near_and_far_places(database: Database, jobs: JobStore) -> None:
    near = add_job(jobs)
    add_job(jobs, MANY)
    far = add_job(jobs)
    urgent = add_job(jobs, 7)
    with database.write() as connection:
        connection.execute(update(job_files).where(job_files.c.job_id == urgent).values(priority=-1))
    assert jobs.pending_before(near) == 7
    assert jobs.pending_before(far) == MANY + 1 + 7


@pytest.mark.parametrize("name", ["COUNT_MORE_URGENT", "COUNT_EARLIER", "LAST_COUNTED"])
def test_places_are_told_by_the_index_of_pending_files(database: Database, jobs: JobStore, name: str) -> None:
    add_job(jobs, 3)
    compiled = getattr(places, name).compile(dialect=sqlite.dialect())
    given = [{"rank": 0, "file": 3, **compiled.params}[key] or 0 for key in compiled.positiontup]
    with database.read() as connection:
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", tuple(given)).all()
    told = "\n".join(str(row) for row in rows)
    assert "ix_job_files_pending (priority" in told
    assert "TEMP B-TREE" not in told
