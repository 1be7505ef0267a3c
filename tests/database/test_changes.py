"""Every change that clients can see gives its job the next number, and nothing else does."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from alembic import command
from sqlalchemy import text
from sqlalchemy.dialects import sqlite

from database.change_store import SINCE, ChangeStore
from database.engine import Database
from database.file_store import MAX_LOST_LEASES, FileStore
from database.job_store import JobStore
from database.migrate import configuration, upgrade
from job import JobStatus
from tests.database.jobs import LEASE_SECONDS, NOW, OUTCOME, add_job
from tests.database.test_upgrades import insert, job_row

LATE = NOW + timedelta(seconds=LEASE_SECONDS)


@pytest.fixture
def changes(database: Database) -> ChangeStore:
    return ChangeStore(database)


def numbers(changes: ChangeStore) -> dict[str, int]:
    """Of every job that has one."""
    return {job.id: job.changed for job in changes.since(0, 1000)}


def take_one(files: FileStore) -> tuple[int, str]:
    (file,) = files.claim(NOW, 1, "worker", "t", LEASE_SECONDS)
    return file.id, "t"


# What happens to a job of two files, of which one is being worked on when there is a lease.
VISIBLE: dict[str, Callable[[JobStore, FileStore, str, tuple[int, str]], object]] = {
    "a file completed": lambda jobs, files, job_id, lease: files.complete(NOW, *lease, OUTCOME),
    "a file failed": lambda jobs, files, job_id, lease: files.fail(NOW, *lease, "broken", "It is broken.", None),
    "an attempt failed": lambda jobs, files, job_id, lease: files.retry_later(NOW, *lease, "a", "b", 5),
    "given back": lambda jobs, files, job_id, lease: files.release([lease]),
    "its lease expired": lambda jobs, files, job_id, lease: files.expire_leases(LATE, LEASE_SECONDS),
    "cancelled": lambda jobs, files, job_id, lease: jobs.cancel(NOW, job_id, list(JobStatus)),
    "annotated": lambda jobs, files, job_id, lease: jobs.annotate(job_id, {"a": "b"}),
}
INVISIBLE: dict[str, Callable[[JobStore, FileStore, str, tuple[int, str]], object]] = {
    "a heartbeat": lambda jobs, files, job_id, lease: files.heartbeat(NOW, [lease], LEASE_SECONDS),
    "another file of it taken": lambda jobs, files, job_id, lease: take_one(files),
    "nothing to free": lambda jobs, files, job_id, lease: files.expire_leases(NOW, LEASE_SECONDS),
    "not in a state to be cancelled": lambda jobs, files, job_id, lease: jobs.cancel(NOW, job_id, []),
    "not in a state to be retried": lambda jobs, files, job_id, lease: jobs.retry(NOW, job_id),
}


@pytest.mark.parametrize("name", VISIBLE)
def test_what_clients_see_is_a_change(jobs: JobStore, files: FileStore, changes: ChangeStore, name: str) -> None:
    job_id = add_job(jobs, count=2)
    other = add_job(jobs)
    lease = take_one(files)
    before = numbers(changes)
    VISIBLE[name](jobs, files, job_id, lease)
    assert [job.id for job in changes.since(max(before.values()), 10)] == [job_id]
    assert numbers(changes)[other] == before[other]


@pytest.mark.parametrize("name", INVISIBLE)
def test_what_they_do_not_see_is_none(jobs: JobStore, files: FileStore, changes: ChangeStore, name: str) -> None:
    job_id = add_job(jobs, count=2)
    lease = take_one(files)
    before = numbers(changes)
    INVISIBLE[name](jobs, files, job_id, lease)
    assert numbers(changes) == before


def test_a_job_changes_when_it_is_queued_begun_and_begun_again(
    jobs: JobStore, files: FileStore, changes: ChangeStore
) -> None:
    assert changes.newest() == 0
    job_id = add_job(jobs)
    seen = [numbers(changes)[job_id]]
    lease = take_one(files)
    seen.append(numbers(changes)[job_id])
    files.retry_later(NOW, *lease, "code", "message", 0)
    seen.append(numbers(changes)[job_id])
    lease = take_one(files)
    seen.append(numbers(changes)[job_id])
    files.fail(NOW, *lease, "code", "message", None)
    seen.append(numbers(changes)[job_id])
    jobs.retry(NOW, job_id)
    seen.append(numbers(changes)[job_id])
    assert seen == sorted(set(seen))
    assert changes.newest() == seen[-1]


def test_a_job_given_up_after_many_dead_workers_has_changed(
    database: Database, jobs: JobStore, files: FileStore, changes: ChangeStore
) -> None:
    job_id = add_job(jobs)
    take_one(files)
    with database.write() as connection:
        connection.execute(text("UPDATE job_files SET lost_leases = :most"), {"most": MAX_LOST_LEASES - 1})
    before = changes.newest()
    files.expire_leases(LATE, LEASE_SECONDS)
    (job,) = changes.since(before, 10)
    assert (job.id, job.status) == (job_id, JobStatus.FAILED)


def test_no_two_jobs_share_a_number_when_many_change_at_once(
    jobs: JobStore, files: FileStore, changes: ChangeStore
) -> None:
    ids = {add_job(jobs) for _ in range(5)}
    claimed = files.claim(NOW, 5, "worker", "t", LEASE_SECONDS)
    begun = numbers(changes)
    files.complete_many(NOW, [(file.id, "t", OUTCOME) for file in claimed])
    ended = numbers(changes)
    assert begun.keys() == ended.keys() == ids
    assert len({*begun.values(), *ended.values()}) == 10
    assert max(begun.values()) < min(ended.values())


def test_changes_are_read_in_order_each_job_once_and_no_more_than_asked_for(
    jobs: JobStore, files: FileStore, changes: ChangeStore
) -> None:
    first, second, third = (add_job(jobs) for _ in range(3))
    files.claim(NOW, 1, "worker", "t", LEASE_SECONDS)
    assert [job.id for job in changes.since(0, 10)] == [second, third, first]
    (next_one,) = changes.since(0, 1)
    assert [job.id for job in changes.since(next_one.changed, 10)] == [third, first]


def test_changes_are_found_without_looking_at_every_job(database: Database) -> None:
    literal = SINCE.limit(10).params(number=1).compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True})
    with database.read() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {literal}").all()
    assert [row.detail for row in plan] == ["SEARCH jobs USING INDEX ix_jobs_changed (changed>?)"]


def test_jobs_of_the_version_before_change_from_now_on(empty_database: Database) -> None:
    with empty_database.write() as connection:
        command.upgrade(configuration(connection), "0004")
    insert(empty_database, "jobs", [job_row("good"), job_row("waiting")])
    upgrade(empty_database)
    changes, jobs = ChangeStore(empty_database), JobStore(empty_database)
    assert (changes.newest(), changes.since(0, 10)) == (0, [])
    jobs.cancel(NOW, "waiting", list(JobStatus))
    assert numbers(changes) == {"waiting": 1}
    assert {"waiting": 1, add_job(jobs): 2} == numbers(changes)
