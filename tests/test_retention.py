"""What goes by itself: old jobs with all their bytes, and bytes that a crash left behind."""

from datetime import timedelta

import pytest

from database.job_store import JobStore
from errors import JobExpired, JobNotFound
from job import JobStatus, timestamp, utc_now
from queue_manager import QueueManager
from retention import EXPIRE_BATCH, EXPIRED_MEMORY
from storage.local import LocalStorage
from tests.queues import PICTURE, Clock, claim, fail, finish, job_in, stored, submit


def test_an_ended_job_goes_after_seven_days_with_uploads_and_results(queue: QueueManager, clock: Clock) -> None:
    job_id = submit(queue, "a.png", "b.png")
    good, bad = claim(queue)
    finish(queue, good)
    clock.advance(hours=1)
    fail(queue, bad)
    clock.advance(days=7)
    assert queue.cleanup_old_jobs(days=7) == 0
    assert len(stored(queue.storage)) == 5, "two uploads, and a result with two previews"
    clock.advance(seconds=1)
    assert queue.cleanup_old_jobs(days=7) == 1
    assert stored(queue.storage) == []
    assert queue.get_job(job_id) is None
    assert queue.get_job_stats()["total"] == 0


@pytest.mark.parametrize("status", [JobStatus.PENDING, JobStatus.PROCESSING])
def test_a_job_that_has_not_ended_never_goes(queue: QueueManager, clock: Clock, status: JobStatus) -> None:
    job_id = job_in(queue, status)
    clock.advance(days=1000)
    assert queue.cleanup_old_jobs() == 0
    assert queue.job(job_id).status is status


def test_a_retried_job_is_young_again(queue: QueueManager, clock: Clock) -> None:
    job_id = job_in(queue, JobStatus.FAILED)
    clock.advance(days=6)
    queue.retry_job(job_id)
    (lease,) = claim(queue)
    finish(queue, lease)
    clock.advance(days=6)
    assert queue.cleanup_old_jobs(days=7) == 0
    assert queue.job(job_id).status is JobStatus.COMPLETED


@pytest.mark.parametrize("act", ["job", "cancel_job", "retry_job", "results"])
def test_an_expired_job_says_when_it_went(queue: QueueManager, clock: Clock, act: str) -> None:
    job_id = job_in(queue, JobStatus.COMPLETED)
    clock.advance(days=8)
    queue.cleanup_old_jobs(days=7)
    with pytest.raises(JobExpired, match=f"deleted with its pictures at {timestamp(clock.now)}"):
        getattr(queue, act)(job_id)
    with pytest.raises(JobExpired):
        queue.result(job_id, 0)


def test_after_some_months_an_expired_job_is_unknown(queue: QueueManager, clock: Clock) -> None:
    job_id = job_in(queue, JobStatus.COMPLETED)
    clock.advance(days=8)
    queue.cleanup_old_jobs(days=7)
    clock.now += EXPIRED_MEMORY + timedelta(seconds=1)
    queue.cleanup_old_jobs(days=7)
    with pytest.raises(JobNotFound):
        queue.job(job_id)


def test_any_number_of_old_jobs_goes_in_one_call(queue: QueueManager, clock: Clock) -> None:
    count = EXPIRE_BATCH + 1
    for _ in range(count):
        queue.cancel_job(submit(queue))
    young = submit(queue)
    clock.advance(days=8)
    assert queue.cleanup_old_jobs(days=7) == count
    assert [job["id"] for job in queue.get_pending_jobs()] == [young]


def test_a_part_of_a_day_counts(queue: QueueManager, clock: Clock) -> None:
    job_in(queue, JobStatus.COMPLETED)
    clock.advance(hours=11)
    assert queue.cleanup_old_jobs(days=0.5) == 0
    clock.advance(hours=2)
    assert queue.cleanup_old_jobs(days=0.5) == 1


@pytest.fixture
def tomorrow(clock: Clock) -> None:
    """All bytes that the test stores are older than a day: their age is that of real files."""
    clock.now = utc_now() + timedelta(days=1, minutes=1)


@pytest.mark.usefixtures("tomorrow")
def test_bytes_of_submits_that_crashed_before_the_row_are_swept(queue: QueueManager) -> None:
    crashed = queue.begin_submission()
    finished = crashed.add("a.png")
    finished.write(PICTURE)
    finished.finish()
    unfinished = crashed.add("b.png")
    unfinished.write(PICTURE[:10])
    assert len(stored(queue.storage)) == 2
    assert queue.sweep_orphans() == 2
    assert stored(queue.storage) == []
    assert queue.get_job_stats()["total"] == 0
    crashed.discard()


@pytest.mark.usefixtures("tomorrow")
def test_results_that_nobody_owns_are_swept(queue: QueueManager) -> None:
    submit(queue)
    (dead,) = claim(queue)
    queue.storage.put(dead.output_key, b"written by a worker that died before it could tell")
    assert queue.sweep_orphans() == 1
    assert stored(queue.storage) == [dead.file.input_key]


@pytest.mark.usefixtures("tomorrow")
def test_bytes_of_living_jobs_are_not_swept(queue: QueueManager) -> None:
    for status in (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.PROCESSING):
        job_in(queue, status, "a.png", "b.png")
    submit(queue)
    before = stored(queue.storage)
    assert queue.sweep_orphans() == 0
    assert stored(queue.storage) == before


def test_young_bytes_are_not_swept(queue: QueueManager, clock: Clock) -> None:
    """They may belong to an upload that is still going on."""
    clock.now = utc_now() + timedelta(hours=23)
    upload = queue.begin_submission().add("slow.png")
    upload.write(PICTURE)
    assert queue.sweep_orphans() == 0
    upload.finish()
    assert len(stored(queue.storage)) == 1


@pytest.mark.usefixtures("tomorrow")
def test_what_else_lies_in_the_folder_is_not_swept(queue: QueueManager, storage: LocalStorage) -> None:
    """The lock that makes one process the machine's worker, and the fork server's socket."""
    (storage.root / "pymp-x").mkdir(parents=True)
    (storage.root / "pymp-x" / "listener").touch()
    (storage.root / "worker.lock").touch()
    assert queue.sweep_orphans() == 0
    assert stored(storage) == ["pymp-x/listener", "worker.lock"]


def test_a_job_whose_bytes_are_gone_already_goes_like_any_other(queue: QueueManager, clock: Clock) -> None:
    job_id = job_in(queue, JobStatus.COMPLETED)
    for key in stored(queue.storage):
        queue.storage.delete(key)
    clock.advance(days=8)
    assert queue.cleanup_old_jobs(days=7) == 1
    assert JobStore(queue.database).expired_at(job_id) == timestamp(clock.now)
