from dataclasses import replace
from datetime import timedelta

from database.worker_store import WorkerStore
from job import timestamp
from tests.database.jobs import NOW
from tests.queues import worker_state


def test_a_worker_tells_of_itself_again_and_again(workers: WorkerStore) -> None:
    first = worker_state("a", NOW, state={"ready": False, "warm_models": []})
    workers.report(first)
    assert workers.all() == [first]
    later = replace(first, heartbeat_at=timestamp(NOW + timedelta(seconds=9)), active_files=2, state={"ready": True})
    workers.report(later)
    assert workers.all() == [later]


def test_a_worker_that_left_is_forgotten(workers: WorkerStore) -> None:
    workers.report(worker_state("a", NOW))
    workers.report(worker_state("b", NOW))
    workers.remove("a")
    assert [worker.id for worker in workers.all()] == ["b"]


def test_the_queue_can_be_paused_twice_and_resumed_twice(workers: WorkerStore) -> None:
    assert not workers.is_paused()
    for paused, changes in ((True, True), (True, False), (False, True), (False, False)):
        assert workers.set_paused(NOW, paused, "tester") is changes
        assert workers.is_paused() is paused
