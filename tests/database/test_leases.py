"""A lease: only its holder decides what becomes of a file, and a silent holder loses it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from database.act_store import ActStore
from database.engine import Database
from database.file_store import MAX_LOST_LEASES, FileStore
from database.job_store import JobStore
from database.worker_store import WorkerStore
from errors import LeaseLost
from job import JobFile, JobStatus, timestamp
from tests.database.jobs import FORCE, LEASE_SECONDS, NOW, OUTCOME, RETRY, add_job, contradictions, counted, recounted
from tests.queues import worker_state

Report = Callable[[FileStore, int, str], None]

REPORTS: dict[str, Report] = {
    "complete": lambda files, file_id, token: files.complete(NOW, file_id, token, OUTCOME),
    "fail": lambda files, file_id, token: files.fail(NOW, file_id, token, "damaged", "It is damaged.", 0.1),
    "retry_later": lambda files, file_id, token: files.retry_later(NOW, file_id, token, "timeout", "Too slow.", 5),
}


@pytest.fixture(params=REPORTS)
def report(request: pytest.FixtureRequest) -> Report:
    """Each way in which a worker can end its work on a file."""
    return REPORTS[request.param]


def claim_one(files: FileStore, token: str = "mine", now: datetime = NOW, worker: str = "worker-1") -> JobFile:
    (claimed,) = files.claim(now, 1, worker, token, LEASE_SECONDS)
    return claimed


def assert_refused(database: Database, jobs: JobStore, files: FileStore, file: JobFile, report: Report) -> None:
    """Neither the file nor any counter moves when the former holder reports."""
    before, counters = jobs.file(file.job_id, file.position), counted(database)
    with pytest.raises(LeaseLost):
        report(files, file.id, "mine")
    assert jobs.file(file.job_id, file.position) == before
    assert counted(database) == counters


def test_a_token_that_was_never_given_decides_nothing(
    database: Database, jobs: JobStore, files: FileStore, report: Report
) -> None:
    add_job(jobs)
    assert_refused(database, jobs, files, claim_one(files, "theirs"), report)


def test_a_late_worker_cannot_report_on_a_file_that_another_has_now(
    database: Database, jobs: JobStore, files: FileStore, report: Report
) -> None:
    add_job(jobs)
    claim_one(files)
    late = NOW + timedelta(seconds=LEASE_SECONDS)
    assert len(files.expire_leases(late, LEASE_SECONDS)) == 1
    assert_refused(database, jobs, files, claim_one(files, "theirs", late), report)


def test_a_late_worker_cannot_report_on_a_file_that_waits_again(
    database: Database, jobs: JobStore, files: FileStore, report: Report
) -> None:
    add_job(jobs)
    claimed = claim_one(files)
    files.release([(claimed.id, "mine")])
    assert_refused(database, jobs, files, claimed, report)


def test_nothing_is_reported_on_a_cancelled_file(
    database: Database, jobs: JobStore, acts: ActStore, files: FileStore, report: Report
) -> None:
    job_id = add_job(jobs)
    claimed = claim_one(files)
    acts.do(NOW, FORCE, [job_id], None)
    assert_refused(database, jobs, files, claimed, report)


def test_a_file_is_reported_on_once(database: Database, jobs: JobStore, files: FileStore, report: Report) -> None:
    add_job(jobs)
    claimed = claim_one(files)
    files.complete(NOW, claimed.id, "mine", OUTCOME)
    assert_refused(database, jobs, files, claimed, report)


def test_a_heartbeat_extends_only_what_is_held(jobs: JobStore, files: FileStore) -> None:
    add_job(jobs, 3)
    kept, released, foreign = (claim_one(files, token) for token in ("mine", "mine", "theirs"))
    files.release([(released.id, "mine")])
    half_time = NOW + timedelta(seconds=LEASE_SECONDS / 2)
    leases = [(file.id, "mine") for file in (kept, released, foreign)]
    assert files.heartbeat(half_time, leases, LEASE_SECONDS) == {kept.id}
    assert files.held(leases) == {kept.id}
    expired = files.expire_leases(NOW + timedelta(seconds=LEASE_SECONDS), LEASE_SECONDS)
    assert [file.id for file in expired] == [foreign.id]


def test_a_lease_lasts_to_its_last_moment(jobs: JobStore, files: FileStore) -> None:
    add_job(jobs)
    claim_one(files)
    end = NOW + timedelta(seconds=LEASE_SECONDS)
    assert files.expire_leases(end - timedelta(microseconds=1), LEASE_SECONDS) == []
    assert len(files.expire_leases(end, LEASE_SECONDS)) == 1


def test_a_lease_of_a_clock_that_ran_ahead_counts_as_expired(jobs: JobStore, files: FileStore) -> None:
    add_job(jobs, 2)
    wrong = claim_one(files, now=NOW + timedelta(days=365))
    claim_one(files, now=NOW + timedelta(seconds=1))
    assert [file.id for file in files.expire_leases(NOW, LEASE_SECONDS)] == [wrong.id]


def test_an_expired_file_waits_again_at_its_old_place(database: Database, jobs: JobStore, files: FileStore) -> None:
    first = add_job(jobs)
    claim_one(files)
    add_job(jobs)
    late = NOW + timedelta(seconds=LEASE_SECONDS)
    (freed,) = files.expire_leases(late, LEASE_SECONDS)
    assert (freed.status, freed.lease_token, freed.attempts) == (JobStatus.PENDING, None, 0)
    assert claim_one(files, "again", late).job_id == first
    assert counted(database) == {"files.processing": 1, "files.pending": 1, "jobs.processing": 1, "jobs.pending": 1}


def test_a_file_whose_host_dies_every_time_ends_failed(database: Database, jobs: JobStore, files: FileStore) -> None:
    job_id = add_job(jobs, 2)
    now = NOW
    for lost in range(1, MAX_LOST_LEASES + 1):
        claim_one(files, now=now)
        now += timedelta(seconds=LEASE_SECONDS)
        assert len(files.expire_leases(now, LEASE_SECONDS)) == (1 if lost < MAX_LOST_LEASES else 0)
    file = jobs.file(job_id, 0)
    assert file is not None
    assert (file.status, file.error_code) == (JobStatus.FAILED, "host_died")
    assert file.error_message is not None
    assert f"died {MAX_LOST_LEASES} times" in file.error_message
    assert contradictions(database) == []
    second = claim_one(files, now=now)
    files.fail(now, second.id, "mine", "damaged", "It is damaged.", None)
    job = jobs.get(job_id)
    assert job is not None
    assert (job.status, job.failed_files) == (JobStatus.FAILED, 2)
    assert contradictions(database) == []


def test_a_retry_forgives_lost_leases(jobs: JobStore, acts: ActStore, files: FileStore) -> None:
    job_id = add_job(jobs)
    now = NOW
    for _ in range(MAX_LOST_LEASES):
        claim_one(files, now=now)
        now += timedelta(seconds=LEASE_SECONDS)
        files.expire_leases(now, LEASE_SECONDS)
    acts.do(now, RETRY, [job_id], None)
    claim_one(files, now=now)
    assert len(files.expire_leases(now + timedelta(seconds=LEASE_SECONDS), LEASE_SECONDS)) == 1


def test_release_gives_back_untouched_what_is_still_ours(jobs: JobStore, files: FileStore) -> None:
    add_job(jobs, 2)
    mine, theirs = claim_one(files), claim_one(files, "theirs")
    assert files.release([(mine.id, "mine"), (theirs.id, "mine")]) == 1
    again = claim_one(files, "again")
    assert (again.id, again.attempts) == (mine.id, 0)
    assert files.held([(theirs.id, "theirs")]) == {theirs.id}


def test_a_new_worker_frees_what_the_dead_ones_of_its_machine_held(
    jobs: JobStore, files: FileStore, workers: WorkerStore
) -> None:
    add_job(jobs, 3)
    for name, machine in (("dead", "here"), ("living", "here"), ("elsewhere", "there")):
        workers.report(worker_state(name, NOW, machine))
    orphan, own, foreign = (claim_one(files, worker=name) for name in ("dead", "living", "elsewhere"))
    assert [file.id for file in files.free_dead_workers(NOW, "here", "living")] == [orphan.id]
    assert files.held([(file.id, "mine") for file in (orphan, own, foreign)]) == {own.id, foreign.id}
    assert {worker.id for worker in workers.all()} == {"living", "elsewhere"}


def test_an_outcome_is_kept_whole(jobs: JobStore, files: FileStore) -> None:
    job_id = add_job(jobs)
    claimed = claim_one(files)
    files.retry_later(NOW, claimed.id, "mine", "timeout", "It took too long.", 0)
    files.complete(NOW, claim_one(files).id, "mine", OUTCOME)
    file = jobs.file(job_id, 0)
    assert file is not None
    assert (file.output_key, file.output_bytes, file.output_sha256) == ("results/a/0-t", 10, "ab" * 32)
    assert (file.content_type, file.extension, file.width, file.height) == ("image/png", "png", 4, 3)
    assert (file.seconds, file.notes, file.attempts) == (0.5, {"first_frame": True}, 2)
    assert (file.error_code, file.error_message, file.completed_at) == (None, None, timestamp(NOW))


def test_results_published_together_each_need_their_own_lease(
    database: Database, jobs: JobStore, acts: ActStore, files: FileStore
) -> None:
    batch, single, cancelled = add_job(jobs, 3), add_job(jobs), add_job(jobs)
    first, second, third, alone, gone = files.claim(NOW, 5, "worker-1", "mine", LEASE_SECONDS)
    files.release([(second.id, "mine")])
    assert claim_one(files, "theirs").id == second.id
    acts.do(NOW, FORCE, [cancelled], None)
    reports = [(file.id, "mine", OUTCOME) for file in (gone, alone, third, second, first)]
    assert files.complete_many(NOW, reports) == {second.id, gone.id}
    assert [file.status for file in jobs.files(batch)] == ["completed", "processing", "completed"]
    job = jobs.get(single)
    assert job is not None
    assert job.status is JobStatus.COMPLETED
    assert job.results is not None
    assert contradictions(database) == []
    assert counted(database) == recounted(database)
    # The last file of the batch ends it.
    assert files.complete_many(NOW, [(second.id, "theirs", OUTCOME), (alone.id, "mine", OUTCOME)]) == {alone.id}
    job = jobs.get(batch)
    assert job is not None
    assert (job.status, job.processed_files) == (JobStatus.COMPLETED, 3)
    assert counted(database) == recounted(database)


def test_results_published_together_are_published_together_or_not_at_all(
    database: Database, jobs: JobStore, files: FileStore
) -> None:
    add_job(jobs, 2)
    first, second = files.claim(NOW, 2, "worker-1", "mine", LEASE_SECONDS)
    unwritable = replace(OUTCOME, width=2**70)
    before = counted(database)
    with pytest.raises(OverflowError):
        files.complete_many(NOW, [(first.id, "mine", OUTCOME), (second.id, "mine", unwritable)])
    assert counted(database) == before == recounted(database)
    assert files.held([(first.id, "mine"), (second.id, "mine")]) == {first.id, second.id}
