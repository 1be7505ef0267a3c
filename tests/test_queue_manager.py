"""The queue as scripts and routes use it: the Python part of the contract first."""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text

from errors import (
    DatabaseError,
    IllegalTransition,
    InvalidFiles,
    JobNotFinished,
    JobNotFound,
    NoFiles,
    RequestTooLarge,
    ResultNotFound,
    ResultUnavailable,
    TooManyFiles,
    UnknownModel,
)
from job import timestamp
from queue_manager import JobStatus, QueueManager
from tests.queues import (
    CUTOUT,
    LIMITS,
    PICTURE,
    Clock,
    claim,
    fail,
    finish,
    job_in,
    stored,
    submit,
)

# --- the contract's Python ------------------------------------------------------------------------------------


def test_create_job_takes_paths_and_bytes(queue: QueueManager, tmp_path: Path) -> None:
    (tmp_path / "one.png").write_bytes(PICTURE)
    (tmp_path / "two.png").write_bytes(PICTURE)
    job_id = queue.create_job([tmp_path / "one.png", str(tmp_path / "two.png"), ("three.png", PICTURE)])
    assert uuid.UUID(job_id).version == 4
    job = queue.get_job(job_id)
    assert job is not None
    assert job["filenames"] == ["one.png", "two.png", "three.png"]
    assert [queue.storage.get(key) for key in stored(queue.storage)] == [PICTURE] * 3


def test_create_job_names_the_model_behind_an_alias_and_refuses_an_unknown_one(queue: QueueManager) -> None:
    assert queue.job(submit(queue, model="siluette")).model == "silueta"
    with pytest.raises(UnknownModel, match="Did you mean u2net"):
        submit(queue, model="u2nett")
    assert len(stored(queue.storage)) == queue.get_job_stats()["total"] == 1


def test_get_job_is_a_plain_dict_keyed_by_the_columns(queue: QueueManager, clock: Clock) -> None:
    job_id = submit(queue, "cat.png", model="u2net")
    job = queue.get_job(job_id)
    assert job == {
        "id": job_id,
        "status": "pending",
        "created_at": timestamp(clock.now),
        "started_at": None,
        "completed_at": None,
        "job_type": "single",
        "filenames": ["cat.png"],
        "total_files": 1,
        "processed_files": 0,
        "failed_files": 0,
        "model": "u2net",
        "priority": "normal",
        "error_message": None,
        "results": None,
        "metadata": {},
    }
    assert type(job) is dict
    assert type(job["status"]) is str
    assert job.get("retry_count", 0) == 0


def test_get_job_of_an_unknown_one_is_none(queue: QueueManager) -> None:
    assert queue.get_job("nobody") is None


def test_the_retry_that_people_wrote_queues_a_failed_job_again(queue: QueueManager) -> None:
    job_id = job_in(queue, JobStatus.FAILED)
    for count in (1, 2):
        queue.update_job_status(job_id, JobStatus.PENDING, retry_count=count)
        job = queue.get_job(job_id)
        assert job is not None
        assert (job["status"], job.get("retry_count", 0)) == ("pending", count)
        assert job["metadata"] == {"retry_count": count}
        (lease,) = claim(queue)
        fail(queue, lease)
    queue.update_job_status(job_id, JobStatus.PENDING, retry_count=3)
    (lease,) = claim(queue)
    finish(queue, lease)
    assert queue.job(job_id).status is JobStatus.COMPLETED


def test_notes_never_hide_a_column(queue: QueueManager) -> None:
    job_id = submit(queue)
    queue.update_job_status(job_id, JobStatus.PENDING, total_files=99, model="other")
    job = queue.get_job(job_id)
    assert job is not None
    assert (job["total_files"], job["model"]) == (1, "u2netp")


def test_notes_of_a_refused_change_are_not_kept(queue: QueueManager) -> None:
    job_id = submit(queue)
    with pytest.raises(IllegalTransition):
        queue.update_job_status(job_id, JobStatus.COMPLETED, retry_count=1)
    assert queue.job(job_id).metadata == {}


def test_a_status_may_be_given_as_its_word(queue: QueueManager) -> None:
    job_id = job_in(queue, JobStatus.FAILED)
    queue.update_job_status(job_id, "pending")
    assert queue.job(job_id).status is JobStatus.PENDING


def test_get_pending_jobs_is_oldest_first(queue: QueueManager, clock: Clock) -> None:
    job_in(queue, JobStatus.COMPLETED)
    order = []
    for _ in range(3):
        clock.advance(seconds=1)
        order.append(submit(queue))
    assert queue.get_pending_jobs() == [queue.get_job(job_id) for job_id in order]


def test_get_job_stats_counts_by_state(queue: QueueManager) -> None:
    assert queue.get_job_stats() == dict.fromkeys([*JobStatus, "total"], 0)
    for status in (*JobStatus, JobStatus.PENDING):
        if status is not JobStatus.PENDING:
            job_in(queue, status)
    submit(queue)
    submit(queue)
    expected = {"pending": 2, "processing": 1, "completed": 1, "failed": 1, "cancelled": 1, "total": 6}
    assert queue.get_job_stats() == expected


def test_every_method_can_be_called_from_many_threads(queue: QueueManager) -> None:
    def a_life(_: int) -> JobStatus:
        job_id = submit(queue)
        assert queue.get_job(job_id) is not None
        queue.get_pending_jobs()
        queue.cancel_job(job_id)
        return queue.job(job_id).status

    with ThreadPoolExecutor(16) as threads:
        assert set(threads.map(a_life, range(32))) == {JobStatus.CANCELLED}
    assert queue.get_job_stats()["cancelled"] == 32


@pytest.mark.parametrize("act", ["job", "cancel_job", "retry_job", "results"])
def test_an_unknown_job_is_not_found(queue: QueueManager, act: str) -> None:
    with pytest.raises(JobNotFound, match="There is no job nobody"):
        getattr(queue, act)("nobody")


# --- all or nothing -------------------------------------------------------------------------------------------


def test_bytes_are_stored_before_the_row_and_listeners_hear_of_it_last(queue: QueueManager) -> None:
    heard: list[tuple[int, int]] = []
    queue.on_submit.add(lambda: heard.append((queue.get_job_stats()["pending"], len(stored(queue.storage)))))
    submit(queue, "one.png", "two.png")
    assert heard == [(1, 2)]


def assert_nothing_is_stored(queue: QueueManager) -> None:
    assert stored(queue.storage) == []
    assert queue.get_job_stats()["total"] == 0


def test_one_bad_file_refuses_all_and_every_bad_one_is_named(queue: QueueManager) -> None:
    with pytest.raises(InvalidFiles) as caught:
        queue.create_job([("good.png", PICTURE), ("empty.png", b""), ("letter.png", b"Dear cat, " * 9)])
    assert [(file.index, file.filename, file.code) for file in caught.value.rejected] == [
        (1, "empty.png", "empty_file"),
        (2, "letter.png", "not_a_picture"),
    ]
    for words in ("2 files", "nothing was queued", "empty.png: The file is empty", "letter.png: "):
        assert words in str(caught.value)
    assert_nothing_is_stored(queue)


def test_bad_files_can_be_left_out(queue: QueueManager) -> None:
    job_id = queue.create_job([("empty.png", b""), ("good.png", PICTURE)], skip_invalid=True)
    assert queue.job(job_id).filenames == ("good.png",)
    assert queue.job(job_id).job_type == "single"
    (lease,) = claim(queue)
    finish(queue, lease)
    assert queue.result(job_id, 0).filename == "good.png"


def test_leaving_out_every_file_leaves_no_job(queue: QueueManager) -> None:
    with pytest.raises(InvalidFiles):
        queue.create_job([("empty.png", b"")], skip_invalid=True)
    assert_nothing_is_stored(queue)


@pytest.mark.parametrize("skip_invalid", [False, True])
def test_a_job_needs_a_file(queue: QueueManager, skip_invalid: bool) -> None:
    with pytest.raises(NoFiles, match="no picture"):
        queue.create_job([], skip_invalid=skip_invalid)
    assert_nothing_is_stored(queue)


@pytest.mark.parametrize(
    ("files", "error"),
    [
        ([("a.png", PICTURE)] * (LIMITS.max_files_per_job + 1), TooManyFiles),
        ([("a.png", PICTURE.ljust(LIMITS.max_upload_bytes, b"\0"))] * 3, RequestTooLarge),
        ([("a.png", PICTURE), Path("no-such-file.png")], FileNotFoundError),
    ],
    ids=["too many files", "too many bytes", "a missing file"],
)
def test_a_submit_that_breaks_off_stores_nothing(
    queue: QueueManager, files: list[tuple[str, bytes]], error: type[Exception]
) -> None:
    with pytest.raises(error):
        queue.create_job(files)
    assert_nothing_is_stored(queue)


def test_a_source_that_breaks_off_stores_nothing(queue: QueueManager) -> None:
    def pictures() -> Iterator[tuple[str, bytes]]:
        yield "a.png", PICTURE
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        queue.create_job(pictures())
    assert_nothing_is_stored(queue)


def test_bytes_do_not_stay_when_the_rows_cannot_be_written(queue: QueueManager) -> None:
    with queue.database.write() as connection:
        connection.execute(text("ALTER TABLE job_files RENAME TO lost"))
    with pytest.raises(DatabaseError):
        submit(queue)
    assert_nothing_is_stored(queue)


# --- results --------------------------------------------------------------------------------------------------


def test_a_batch_hands_out_each_result_as_soon_as_it_is_there(queue: QueueManager) -> None:
    job_id = submit(queue, "a.png", "b.png", "c.png")
    first, second, third = claim(queue)
    finish(queue, second)
    assert queue.storage.get(str(queue.result(job_id, 1).output_key)) == CUTOUT
    with pytest.raises(JobNotFinished, match=r"a\.png is not finished yet: it is processing"):
        queue.result(job_id, 0)
    with pytest.raises(JobNotFinished, match="is not finished yet: it is processing"):
        queue.results(job_id)
    fail(queue, first, "It is damaged.")
    finish(queue, third)
    with pytest.raises(ResultUnavailable, match=r"no result for a\.png\. It is damaged\."):
        queue.result(job_id, 0)
    assert [file.status for file in queue.results(job_id)] == ["failed", "completed", "completed"]


@pytest.mark.parametrize("index", [-1, 1, 10**30])
def test_a_result_beyond_the_files_is_not_found(queue: QueueManager, index: int) -> None:
    job_id = job_in(queue, JobStatus.COMPLETED)
    with pytest.raises(ResultNotFound, match="are 0 to 0: there is no"):
        queue.result(job_id, index)


@pytest.mark.parametrize(
    ("status", "words"), [(JobStatus.FAILED, "The picture is damaged"), (JobStatus.CANCELLED, "cancelled")]
)
def test_a_job_that_ended_badly_has_no_results_and_says_why(queue: QueueManager, status: JobStatus, words: str) -> None:
    job_id = job_in(queue, status, "a.png", "b.png")
    with pytest.raises(ResultUnavailable, match=words):
        queue.results(job_id)
    with pytest.raises(ResultUnavailable, match=words):
        queue.result(job_id, 1)


def test_the_place_in_the_queue_counts_files_and_moves_up(queue: QueueManager) -> None:
    first, second = submit(queue, "a.png", "b.png"), submit(queue)
    assert [queue.position(queue.job(job_id)) for job_id in (first, second)] == [1, 3]
    lease, _ = claim(queue, 2)
    assert [queue.position(queue.job(job_id)) for job_id in (first, second)] == [None, 1]
    queue.release([lease])
    assert queue.position(queue.job(second)) == 2
    queue.cancel_job(second)
    assert queue.position(queue.job(second)) is None
