"""States of a job and of a file: the law, the page that draws it, and the queue that obeys it."""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from errors import IllegalTransition
from job import FILE_TRANSITIONS, TRANSITIONS, JobFile, JobStatus, timestamp
from queue_manager import QueueManager
from tests.queues import claim, fail, finish, job_in, stored, submit

PAGE = Path(__file__).parents[1] / "docs" / "state_machine.md"
PAIRS = [(before, after) for before in JobStatus for after in JobStatus]


@pytest.mark.parametrize(
    ("heading", "table"), [("Jobs", TRANSITIONS), ("Files", FILE_TRANSITIONS)], ids=["jobs", "files"]
)
def test_the_page_draws_exactly_the_legal_transitions(
    heading: str, table: Mapping[JobStatus, frozenset[JobStatus]]
) -> None:
    (section,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    drawn = re.findall(r"^\s*(\w+) --> (\w+)", section, re.MULTILINE)
    assert len(drawn) == len(set(drawn))
    assert set(drawn) == {(before.value, after.value) for before, afters in table.items() for after in afters}


def test_only_a_file_can_be_given_back() -> None:
    """A job that has begun stays begun, whatever becomes of its workers."""
    assert {(before, after) for before in JobStatus for after in FILE_TRANSITIONS[before] - TRANSITIONS[before]} == {
        (JobStatus.PROCESSING, JobStatus.PENDING)
    }


def test_clients_see_the_five_words_of_the_contract() -> None:
    assert [status.value for status in JobStatus] == ["pending", "processing", "completed", "failed", "cancelled"]
    assert [status.value for status in JobStatus if status.ended] == ["completed", "failed", "cancelled"]


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_a_status_can_be_set_only_where_a_client_may_decide(
    queue: QueueManager, before: JobStatus, after: JobStatus
) -> None:
    """The other legal transitions are a worker's: only its lease makes them."""
    job_id = job_in(queue, before)
    untouched = queue.get_job(job_id)
    allowed = {(JobStatus.PENDING, JobStatus.CANCELLED), (JobStatus.FAILED, JobStatus.PENDING)}
    if before is after:
        queue.update_job_status(job_id, after)
        assert queue.get_job(job_id) == untouched
    elif (before, after) in allowed:
        queue.update_job_status(job_id, after)
        assert queue.job(job_id).status is after
        assert after in TRANSITIONS[before]
    else:
        with pytest.raises(IllegalTransition, match=f"is {before}|it is {before}"):
            queue.update_job_status(job_id, after)
        assert queue.get_job(job_id) == untouched


@pytest.mark.parametrize("before", [status for status in JobStatus if status is not JobStatus.FAILED])
def test_only_a_job_with_failed_files_can_be_retried(queue: QueueManager, before: JobStatus) -> None:
    job_id = job_in(queue, before)
    with pytest.raises(IllegalTransition, match=f"cannot be retried: it is {before}"):
        queue.retry_job(job_id)
    assert queue.job(job_id).status is before


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("before", JobStatus)
def test_a_job_is_cancelled_from_pending_and_with_force_from_processing(
    queue: QueueManager, before: JobStatus, force: bool
) -> None:
    job_id = job_in(queue, before)
    untouched = queue.get_job(job_id)
    if before in (JobStatus.PENDING, JobStatus.CANCELLED) or (force and before is JobStatus.PROCESSING):
        assert queue.cancel_job(job_id, force).status is JobStatus.CANCELLED
    else:
        with pytest.raises(IllegalTransition, match=f"it is {before}"):
            queue.cancel_job(job_id, force)
        assert queue.get_job(job_id) == untouched


def test_a_result_that_comes_after_a_cancel_is_dropped(queue: QueueManager) -> None:
    job_id = submit(queue)
    (lease,) = claim(queue)
    queue.cancel_job(job_id, force=True)
    for report in (finish, fail):
        with pytest.raises(Exception, match="lease"):
            report(queue, lease)
    assert queue.job(job_id).status is JobStatus.CANCELLED
    assert stored(queue.storage) == []


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 1, 2, 3, 4, 5, 6, UTC), "2026-01-02T03:04:05.000006Z"),
        (datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=5, minutes=30))), "2026-01-01T18:30:00.000000Z"),
    ],
)
def test_a_timestamp_is_utc_with_six_digits_and_z(moment: datetime, text: str) -> None:
    assert timestamp(moment) == text
    assert datetime.fromisoformat(text) == moment


@pytest.mark.parametrize(
    ("filename", "output_name"),
    [("cat.jpg", "cat.png"), ("cat", "cat.png"), ("a.b.heic", "a.b.png"), (".png", ".png.png"), ("猫.WEBP", "猫.png")],
)
def test_a_result_is_named_as_its_picture_with_the_new_extension(
    queue: QueueManager, filename: str, output_name: str
) -> None:
    job_id = job_in(queue, JobStatus.COMPLETED)
    file: JobFile = replace(queue.result(job_id, 0), filename=filename)
    assert file.output_name == output_name
