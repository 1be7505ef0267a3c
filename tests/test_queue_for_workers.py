"""What the queue does for workers: leases with keys of their own, pausing, who is alive."""

import pytest

from errors import LeaseLost
from job import JobStatus, preview_keys
from queue_manager import QueueManager
from tests.queues import CUTOUT, Clock, claim, finish, job_in, outcome, stored, submit, worker_state


def test_each_lease_has_keys_of_its_own(queue: QueueManager) -> None:
    submit(queue)
    (first,) = claim(queue)
    queue.release([first])
    (second,) = claim(queue)
    assert first.file.id == second.file.id
    assert len({first.token, second.token}) == len({first.output_key, second.output_key}) == 2


def test_the_bytes_of_a_late_worker_are_dropped_and_those_of_the_right_one_stay(
    queue: QueueManager, clock: Clock
) -> None:
    job_id = submit(queue)
    (late,) = claim(queue)
    clock.advance(seconds=queue.lease_seconds)
    queue.expire_leases()
    (right,) = claim(queue)
    finish(queue, right)
    with pytest.raises(LeaseLost):
        finish(queue, late, b"late")
    assert queue.storage.get(str(queue.result(job_id, 0).output_key)) == CUTOUT
    assert late.output_key not in stored(queue.storage)


def test_of_results_published_together_only_the_bytes_of_late_ones_are_dropped(queue: QueueManager) -> None:
    submit(queue, "a.png", "b.png")
    kept, late = claim(queue)
    for lease in (kept, late):
        queue.storage.put(lease.output_key, CUTOUT)
    queue.release([late])
    finished = [(lease, outcome(lease)) for lease in (kept, late)]
    assert queue.complete_many(finished) == [late]
    # Once more, as after an answer of the database that was lost: what was published stays.
    assert queue.complete_many(finished) == [kept, late]
    assert kept.output_key in stored(queue.storage)
    assert late.output_key not in stored(queue.storage)


def test_cancelling_deletes_uploads_at_once_and_keeps_finished_results(queue: QueueManager) -> None:
    job_id = submit(queue, "a.png", "b.png")
    first, second = claim(queue)
    finish(queue, first)
    queue.cancel_job(job_id, force=True)
    kept = [first.file.input_key, first.output_key, *preview_keys(first.output_key)]
    assert stored(queue.storage) == sorted(kept)
    assert queue.result(job_id, 0).output_key == first.output_key
    assert queue.held([first, second]) == set()


def test_a_paused_queue_takes_jobs_but_gives_none_out(queue: QueueManager) -> None:
    queue.set_paused(True)
    submit(queue)
    assert claim(queue) == []
    queue.set_paused(False)
    assert len(claim(queue)) == 1


def test_listeners_hear_of_a_retry_and_of_resuming(queue: QueueManager) -> None:
    job_id = job_in(queue, JobStatus.FAILED)
    heard: list[str] = []
    queue.on_submit.add(lambda: heard.append("heard"))
    queue.retry_job(job_id)
    queue.set_paused(True)
    queue.set_paused(False)
    assert len(heard) >= 2


def test_a_worker_unheard_of_for_one_lease_is_not_listed(queue: QueueManager, clock: Clock) -> None:
    queue.heartbeat(worker_state("a", clock.now), [])
    clock.advance(seconds=queue.lease_seconds - 1)
    queue.heartbeat(worker_state("b", clock.now), [])
    assert [worker.id for worker in queue.workers()] == ["a", "b"]
    clock.advance(seconds=2)
    assert [worker.id for worker in queue.workers()] == ["b"]
    queue.forget_worker("b")
    assert queue.workers() == []


@pytest.mark.parametrize(
    ("states", "reason"),
    [
        ([], "No worker is running yet."),
        ([{"ready": False}], "The default model is being loaded."),
        ([{"ready": False, "trouble": "The weights are gone."}], "The weights are gone."),
        ([{"ready": False, "trouble": "The weights are gone."}, {"ready": True}], None),
    ],
    ids=["no worker", "loading", "trouble", "one is enough"],
)
def test_it_is_said_why_no_picture_can_be_processed_now(
    queue: QueueManager, clock: Clock, states: list[dict[str, object]], reason: str | None
) -> None:
    for number, state in enumerate(states):
        queue.heartbeat(worker_state(f"{number}", clock.now, state=state), [])
    assert queue.not_ready_because() == reason


def test_a_new_worker_of_this_machine_takes_over(queue: QueueManager, clock: Clock) -> None:
    job_id = submit(queue)
    queue.take_over(worker_state("worker-1", clock.now))
    (lease,) = claim(queue)
    queue.take_over(worker_state("worker-2", clock.now))
    assert queue.held([lease]) == set()
    (again,) = queue.claim("worker-2", 1)
    finish(queue, again)
    assert queue.job(job_id).status is JobStatus.COMPLETED


def test_a_retry_later_counts_the_attempt_and_waits(queue: QueueManager, clock: Clock) -> None:
    submit(queue)
    (lease,) = claim(queue)
    queue.retry_later(lease, "timeout", "It took too long.", 10)
    assert claim(queue) == []
    clock.advance(seconds=10)
    (again,) = claim(queue)
    assert again.file.attempts == 1
    finish(queue, again)
