"""Outcomes that are told together: what is wrong with one is no matter for the others."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from errors import LeaseLost, StorageError
from job import JobStatus, Lease, Outcome
from outcomes import Outcomes
from queue_manager import QueueManager
from tests.queues import claim, outcome, put_result, stored, submit


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as made:
        yield made


def complete(
    queue: QueueManager, threads: ThreadPoolExecutor, finished: list[tuple[Lease, Outcome]]
) -> list[BaseException | None]:
    """What each of them is told, all at once."""

    async def all_at_once() -> list[BaseException | None]:
        outcomes = Outcomes(queue, threads, max_attempts=3, pause_seconds=0.01)
        return await asyncio.gather(*(outcomes.complete(*each) for each in finished), return_exceptions=True)

    return asyncio.run(all_at_once())


def worked_on(queue: QueueManager, files: int) -> list[tuple[Lease, Outcome]]:
    submit(queue, *(f"{number}.png" for number in range(files)))
    leases = claim(queue)
    for lease in leases:
        put_result(queue.storage, lease)
    return [(lease, outcome(lease)) for lease in leases]


def test_all_are_published(queue: QueueManager, threads: ThreadPoolExecutor) -> None:
    finished = worked_on(queue, 5)
    assert complete(queue, threads, finished) == [None] * 5
    job = queue.job(finished[0][0].file.job_id)
    assert (job.status, job.processed_files) == (JobStatus.COMPLETED, 5)


def test_a_late_one_is_told_and_its_bytes_are_dropped(queue: QueueManager, threads: ThreadPoolExecutor) -> None:
    finished = worked_on(queue, 3)
    late = finished[1][0]
    queue.release([late])
    told = complete(queue, threads, finished)
    assert [type(error) for error in told] == [type(None), LeaseLost, type(None)]
    assert not [key for key in stored(queue.storage) if key.startswith(late.output_key)]


def test_bytes_that_are_not_there_fail_their_own_file_only(queue: QueueManager, threads: ThreadPoolExecutor) -> None:
    finished = worked_on(queue, 3)
    queue.storage.delete(finished[2][0].output_key)
    told = complete(queue, threads, finished)
    assert told[:2] == [None, None]
    assert isinstance(told[2], StorageError)


def test_an_outcome_that_cannot_be_written_fails_its_own_file_only(
    queue: QueueManager, threads: ThreadPoolExecutor
) -> None:
    finished = worked_on(queue, 4)
    lease, good = finished[0]
    finished[0] = (lease, replace(good, width=2**70))
    told = complete(queue, threads, finished)
    assert isinstance(told[0], OverflowError)
    assert told[1:] == [None, None, None]
