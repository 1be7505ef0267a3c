"""Jobs as rows: insert, list, cancel, retry, expire."""

from dataclasses import replace
from datetime import timedelta

import pytest

from database.engine import Database
from database.file_store import FileStore
from database.job_store import JobStore
from job import JobStatus, preview_keys, timestamp
from tests.database.jobs import LEASE_SECONDS, NOW, OUTCOME, add_job, counted


def end(files: FileStore, *, failed: bool = False) -> None:
    """Work off everything that waits."""
    for file in files.claim(NOW, 100, "worker-1", "token", LEASE_SECONDS):
        if failed:
            files.fail(NOW, file.id, "token", "damaged", f"{file.filename} is damaged.", 0.1)
        else:
            files.complete(NOW, file.id, "token", OUTCOME)


def test_a_new_job_knows_what_stands_before_it(jobs: JobStore, files: FileStore) -> None:
    add_job(jobs, 3)
    files.claim(NOW, 1, "worker-1", "token", LEASE_SECONDS)
    job_id = add_job(jobs, 2)
    assert jobs.pending_before(job_id) == 2
    end(files)
    assert jobs.pending_before(job_id) is None


def test_a_listing_is_newest_first(jobs: JobStore) -> None:
    order = [add_job(jobs, now=NOW + timedelta(seconds=n)) for n in range(4)]
    page = jobs.page(None, 10, None)
    assert [job.id for job in page.jobs] == order[::-1]
    assert (page.total, page.next) == (4, None)


def test_pages_cover_every_job_once_also_those_of_one_moment(jobs: JobStore) -> None:
    moments = [NOW + timedelta(seconds=n // 3) for n in range(8)]
    expected = sorted(((timestamp(moment), add_job(jobs, now=moment)) for moment in moments), reverse=True)
    page = jobs.page(None, 3, None)
    seen = list(page.jobs)
    while page.next is not None:
        # What comes while somebody turns pages belongs on the first page, not on a later one.
        add_job(jobs, now=NOW + timedelta(hours=1))
        page = jobs.page(None, 3, page.next)
        seen += page.jobs
    assert [(job.created_at, job.id) for job in seen] == expected


def test_a_listing_of_one_state_counts_and_shows_only_that(jobs: JobStore, files: FileStore) -> None:
    done = [add_job(jobs) for _ in range(2)]
    end(files)
    add_job(jobs)
    page = jobs.page(JobStatus.COMPLETED, 1, None)
    assert page.total == 2
    assert page.next is not None
    rest = jobs.page(JobStatus.COMPLETED, 1, page.next)
    assert {job.id for job in (*page.jobs, *rest.jobs)} == set(done)
    assert rest.next is None


def test_a_job_with_some_good_pictures_completes(jobs: JobStore, files: FileStore) -> None:
    job_id = add_job(jobs, 3)
    first, second, third = files.claim(NOW, 3, "worker-1", "token", LEASE_SECONDS)
    files.fail(NOW, first.id, "token", "damaged", "It is damaged.", 0.1)
    files.complete(NOW, third.id, "token", OUTCOME)
    running = jobs.get(job_id)
    assert running is not None
    assert (running.status, running.results, running.completed_at) == (JobStatus.PROCESSING, None, None)
    files.complete(NOW, second.id, "token", OUTCOME)
    job = jobs.get(job_id)
    assert job is not None
    assert (job.status, job.processed_files, job.failed_files) == (JobStatus.COMPLETED, 2, 1)
    assert job.error_message is None
    assert job.results is not None
    assert [entry["status"] for entry in job.results] == ["failed", "completed", "completed"]
    assert [entry["error"] for entry in job.results] == ["It is damaged.", None, None]


@pytest.mark.parametrize(
    ("count", "same", "expected"),
    [
        (1, True, "It is damaged."),
        (2, True, "All 2 files failed. It is damaged."),
        (2, False, "All 2 files failed. The first, 0.png: 0.png is damaged."),
    ],
    ids=["one file", "one reason for all", "several reasons"],
)
def test_a_failed_job_says_why_in_a_sentence(
    jobs: JobStore, files: FileStore, count: int, same: bool, expected: str
) -> None:
    job_id = add_job(jobs, count)
    for file in files.claim(NOW, count, "worker-1", "token", LEASE_SECONDS):
        message = "It is damaged." if same else f"{file.filename} is damaged."
        files.fail(NOW, file.id, "token", "damaged", message, 0.1)
    job = jobs.get(job_id)
    assert job is not None
    assert (job.status, job.error_message) == (JobStatus.FAILED, expected)


def test_a_cancelled_job_keeps_what_had_finished(jobs: JobStore, files: FileStore) -> None:
    job_id = add_job(jobs, 3)
    done, _running = files.claim(NOW, 2, "worker-1", "token", LEASE_SECONDS)
    files.complete(NOW, done.id, "token", OUTCOME)
    assert jobs.cancel(NOW, job_id, [JobStatus.PENDING, JobStatus.PROCESSING]) is JobStatus.PROCESSING
    job = jobs.get(job_id)
    assert job is not None
    assert (job.status, job.processed_files, job.completed_at) == (JobStatus.CANCELLED, 1, timestamp(NOW))
    assert [file.status.value for file in jobs.files(job_id)] == ["completed", "cancelled", "cancelled"]
    assert job.results is not None
    assert [entry["status"] for entry in job.results] == ["completed", "cancelled", "cancelled"]


def test_cancelling_from_a_state_that_was_not_named_changes_nothing(
    database: Database, jobs: JobStore, files: FileStore
) -> None:
    job_id = add_job(jobs)
    files.claim(NOW, 1, "worker-1", "token", LEASE_SECONDS)
    before = jobs.get(job_id), jobs.files(job_id), counted(database)
    assert jobs.cancel(NOW, job_id, [JobStatus.PENDING]) is JobStatus.PROCESSING
    assert (jobs.get(job_id), jobs.files(job_id), counted(database)) == before


def test_a_retry_makes_a_failed_job_as_good_as_new(jobs: JobStore, files: FileStore) -> None:
    job_id = add_job(jobs, 2)
    fresh, fresh_files = jobs.get(job_id), jobs.files(job_id)
    end(files, failed=True)
    assert jobs.retry(NOW, job_id) == (JobStatus.FAILED, 2)
    again = jobs.get(job_id)
    assert fresh is not None
    assert again is not None
    assert (replace(again, changed=fresh.changed), jobs.files(job_id)) == (fresh, fresh_files)


def test_unknown_jobs_are_none(jobs: JobStore) -> None:
    assert jobs.get("nobody") is None
    assert jobs.cancel(NOW, "nobody", [JobStatus.PENDING]) is None
    assert jobs.retry(NOW, "nobody") == (None, 0)
    assert jobs.file("nobody", 0) is None
    assert jobs.files("nobody") == []


def test_expired_jobs_go_oldest_first_in_batches(database: Database, jobs: JobStore, files: FileStore) -> None:
    ids = []
    for n in range(3):
        ids.append(add_job(jobs))
        for file in files.claim(NOW, 1, "worker-1", "token", LEASE_SECONDS):
            files.complete(NOW + timedelta(hours=n), file.id, "token", OUTCOME)
    waiting = add_job(jobs)
    later = NOW + timedelta(days=7)
    count, keys = jobs.expire(later, NOW + timedelta(hours=2), limit=1)
    assert (count, set(keys)) == (1, {f"uploads/{ids[0]}/0", OUTCOME.output_key, *preview_keys(OUTCOME.output_key)})
    assert jobs.expire(later, NOW + timedelta(hours=2), limit=5)[0] == 1
    assert jobs.expire(later, NOW + timedelta(hours=2), limit=5) == (0, [])
    assert [jobs.get(job_id) is None for job_id in (*ids, waiting)] == [True, True, False, False]
    assert jobs.expired_at(ids[0]) == timestamp(later)
    assert counted(database) == {"jobs.completed": 1, "jobs.pending": 1, "files.completed": 1, "files.pending": 1}


def test_notes_on_expired_jobs_are_forgotten_in_the_end(jobs: JobStore, files: FileStore) -> None:
    job_id = add_job(jobs)
    end(files)
    jobs.expire(NOW, NOW + timedelta(seconds=1), limit=5)
    assert jobs.forget_expired(NOW, 10) == 0
    assert jobs.forget_expired(NOW + timedelta(seconds=1), 10) == 1
    assert jobs.expired_at(job_id) is None
