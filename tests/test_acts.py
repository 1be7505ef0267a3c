"""What people do to jobs, to one or to many at once: whole or not at all, each with its line in the history."""

import threading
from collections import Counter
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError

from acts import BATCH_FILES, BATCH_JOBS, MOST_TOLD, PYTHON, Tally, batches
from bench.filled_queue import fill
from database.tables import history, job_files
from errors import IllegalTransition, JobNotFound
from job import Act, Deed, JobFilter, JobStatus, Priority
from queue_manager import QueueManager
from tests.database.jobs import CANCEL, FORCE, RETRY, contradictions, counted, recounted
from tests.queues import PICTURE, Clock, claim, fail, finish, job_in, stored, submit

HIGH = Act(Deed.PRIORITY, priority=Priority.HIGH)
ALL = JobFilter()


def matching(queue: QueueManager, act: Act, wanted: JobFilter = ALL, most: int = 1000) -> Tally:
    return queue.acts.on_matching(act, wanted, "all", None, most, "10.0.0.1")


def lines(queue: QueueManager) -> list[tuple[str, str | None, str | None]]:
    """Act, who and what of every line, oldest first."""
    with queue.database.read() as connection:
        rows = connection.execute(select(history).order_by(history.c.id))
        return [(row.act, row.actor, row.detail) for row in rows]


def check(queue: QueueManager) -> None:
    assert contradictions(queue.database) == []
    assert counted(queue.database) == recounted(queue.database)


# --- priority -----------------------------------------------------------------------------------------------------


def test_a_job_moves_to_where_its_priority_has_its_place(queue: QueueManager) -> None:
    first, second, third = (submit(queue, "a.png", "b.png") for _ in range(3))
    assert queue.set_priority(third, Priority.HIGH).priority is Priority.HIGH
    assert queue.set_priority(first, Priority.LOW).priority is Priority.LOW
    assert queue.position(queue.job(third)) == 1
    order = [lease.file.job_id for lease in claim(queue)]
    assert order == [third, third, second, second, first, first]


def test_files_in_work_keep_the_new_priority_for_their_next_attempt(queue: QueueManager) -> None:
    urgent = submit(queue)
    (lease,) = claim(queue)
    submit(queue)
    queue.set_priority(urgent, Priority.HIGH)
    queue.release([lease])
    assert claim(queue, 1)[0].file.job_id == urgent


@pytest.mark.parametrize("status", [JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED])
def test_the_priority_of_an_ended_job_cannot_be_changed(queue: QueueManager, status: JobStatus) -> None:
    job_id = job_in(queue, status)
    before = lines(queue)
    with pytest.raises(IllegalTransition, match=f"The priority of job {job_id} cannot be changed: it is {status}"):
        queue.set_priority(job_id, Priority.HIGH)
    assert queue.job(job_id).priority is Priority.NORMAL
    assert lines(queue) == before


def test_the_same_priority_again_changes_nothing(queue: QueueManager) -> None:
    job_id = submit(queue)
    changed = queue.job(job_id).changed
    assert queue.set_priority(job_id, Priority.NORMAL).changed == changed
    assert lines(queue) == []
    with pytest.raises(JobNotFound):
        queue.set_priority("nobody", Priority.HIGH)


# --- many at once -------------------------------------------------------------------------------------------------


def test_chosen_jobs_are_cancelled_and_the_others_say_why_not(queue: QueueManager) -> None:
    done, running = job_in(queue, JobStatus.COMPLETED), job_in(queue, JobStatus.PROCESSING)
    cancelled, waiting, left = submit(queue), submit(queue, "a.png", "b.png"), submit(queue)
    queue.cancel_job(cancelled)
    told = queue.acts.on_these(CANCEL, [waiting, done, running, "nobody", waiting, cancelled], "10.0.0.1")
    assert (told.changed, told.refused_count, told.left) == (1, 3, 0)
    assert told.refused == {
        done: f"Job {done} cannot be cancelled: it is completed.",
        running: f"Job {running} cannot be cancelled: it is processing. A running job is stopped with force=true.",
        "nobody": "There is no job nobody.",
    }
    assert [queue.job(job_id).status for job_id in (waiting, left)] == [JobStatus.CANCELLED, JobStatus.PENDING]
    assert not any(waiting in key for key in stored(queue.storage))
    assert any(left in key for key in stored(queue.storage))
    check(queue)


def test_of_many_refusals_some_are_told_and_all_are_counted(queue: QueueManager) -> None:
    told = queue.acts.on_these(CANCEL, [f"{n}" for n in range(50)], "10.0.0.1")
    assert (told.changed, len(told.refused), told.refused_count) == (0, MOST_TOLD, 50)
    assert lines(queue) == []


def test_a_forced_cancel_of_many_stops_what_is_being_worked_on(queue: QueueManager) -> None:
    job_in(queue, JobStatus.PROCESSING, "a.png", "b.png")
    submit(queue)
    assert matching(queue, CANCEL).changed == 1
    assert matching(queue, FORCE).changed == 1
    assert queue.get_job_stats()["cancelled"] == 2
    check(queue)


def test_failed_jobs_are_retried_and_good_files_keep_their_results(queue: QueueManager, clock: Clock) -> None:
    good, mixed = job_in(queue, JobStatus.COMPLETED), submit(queue, "a.png", "b.png")
    first, second = claim(queue)
    finish(queue, first)
    fail(queue, second)
    bad = job_in(queue, JobStatus.FAILED)
    told = matching(queue, RETRY)
    assert (told.changed, told.refused_count, told.left) == (2, 0, 0)
    states = {job_id: queue.job(job_id).status.value for job_id in (good, mixed, bad)}
    assert states == {good: "completed", mixed: "pending", bad: "pending"}
    assert queue.result(mixed, 0).status is JobStatus.COMPLETED
    check(queue)


def test_what_fails_again_is_not_met_again(queue: QueueManager, clock: Clock) -> None:
    """Or a page that repeats its request until nothing is left would never come to an end."""
    for _ in range(3):
        job_in(queue, JobStatus.FAILED)
        clock.advance(seconds=1)
    as_of = clock.now
    left = []
    for _ in range(3):
        clock.advance(seconds=1)
        told = queue.acts.on_matching(RETRY, ALL, "all", as_of, 1, "10.0.0.1")
        left.append((told.changed, told.left))
        for lease in claim(queue):
            fail(queue, lease)
    assert left == [(1, 2), (1, 1), (1, 0)]
    assert queue.acts.on_matching(RETRY, ALL, "all", as_of, 1, "10.0.0.1").changed == 0


def test_jobs_of_the_earlier_service_are_passed_by(queue: QueueManager) -> None:
    job_id = job_in(queue, JobStatus.FAILED)
    with queue.database.write() as connection:
        connection.execute(job_files.delete())
    assert matching(queue, RETRY).left == matching(queue, RETRY).changed == 0
    told = queue.acts.on_these(RETRY, [job_id], "10.0.0.1")
    assert "its pictures were not kept" in told.refused[job_id]


def test_a_filter_is_kept_to(queue: QueueManager, clock: Clock) -> None:
    cat, dog = submit(queue, "cat.png"), submit(queue, "dog.png")
    clock.advance(hours=1)
    late = queue.create_job([("cat.png", PICTURE)], model="u2netp", priority=Priority.HIGH)
    early = JobFilter(text="CAT", until="2026-11-01T12:30:00.000000Z")
    assert matching(queue, CANCEL, early).changed == 1
    assert queue.job(cat).status is JobStatus.CANCELLED
    assert matching(queue, CANCEL, JobFilter(status=JobStatus.COMPLETED)).changed == 0
    assert matching(queue, CANCEL, JobFilter(model="u2net")).changed == 0
    assert matching(queue, HIGH).changed == 1
    assert [queue.job(job_id).priority for job_id in (dog, late)] == [Priority.HIGH, Priority.HIGH]
    assert matching(queue, CANCEL, JobFilter(text=late[:8])).changed == 1
    check(queue)


def test_five_thousand_jobs_are_acted_on_a_thousand_at_a_time(tmp_path: Path) -> None:
    queue = fill(tmp_path, 6000, pending=5000)
    for act, state in ((HIGH, JobStatus.PENDING), (CANCEL, JobStatus.CANCELLED)):
        told = matching(queue, act)
        left = [told.left]
        while told.left:
            told = queue.acts.on_matching(act, ALL, "all", datetime.fromisoformat(told.as_of), 1000, "10.0.0.1")
            left.append(told.left)
        assert left == [4000, 3000, 2000, 1000, 0]
        assert queue.get_job_stats()[state] >= 5000
    check(queue)
    with queue.database.read() as connection:
        parts = connection.execute(select(history.c.part_of).where(history.c.job_id.is_not(None))).scalars().all()
    assert list(Counter(parts).values()) == [1000] * 10
    assert {detail for _, _, detail in lines(queue)} == {"1000 jobs: all, to high", "high", "1000 jobs: all", None}
    queue.database.close()


def test_a_worker_that_claims_meanwhile_gets_each_file_or_finds_it_cancelled(queue: QueueManager) -> None:
    made = [submit(queue, "a.png", "b.png") for _ in range(150)]
    begin = threading.Barrier(2)

    def work() -> None:
        begin.wait()
        while leases := claim(queue, 3):
            for lease in leases:
                finish(queue, lease)

    worker = threading.Thread(target=work)
    worker.start()
    begin.wait()
    while (told := matching(queue, CANCEL, most=20)).left:
        assert told.refused_count <= 20
    worker.join()
    while matching(queue, CANCEL).left:
        pass
    states = Counter(queue.job(job_id).status for job_id in made)
    assert states.keys() <= {JobStatus.COMPLETED, JobStatus.CANCELLED}
    assert states.total() == len(made)
    with queue.database.read() as connection:
        cancelled = connection.execute(
            select(history.c.job_id).where(history.c.act == Deed.CANCEL, history.c.job_id.is_not(None))
        ).scalars()
        assert Counter(cancelled) == Counter(j for j in made if queue.job(j).status is JobStatus.CANCELLED)
    check(queue)


def test_transactions_are_small() -> None:
    sizes = {f"{n}": n % 7 + 1 for n in range(1000)} | {"large": BATCH_FILES * 3}
    ids = [*sizes, "unknown"]
    made = list(batches(ids, sizes))
    assert [job_id for batch in made for job_id in batch] == ids
    assert all(len(batch) <= BATCH_JOBS for batch in made)
    assert all(sum(sizes.get(job_id, 0) for job_id in batch) <= BATCH_FILES or len(batch) == 1 for batch in made)
    assert list(batches([], {})) == []


# --- the history --------------------------------------------------------------------------------------------------


def test_an_act_and_its_line_are_written_together_or_not_at_all(queue: QueueManager) -> None:
    job_id, failed = submit(queue), submit(queue)
    with queue.database.write() as connection:
        refused = "CREATE TRIGGER refuse BEFORE INSERT ON history BEGIN SELECT RAISE(ABORT, 'no lines'); END"
        connection.execute(text(refused))
    leases = {lease.file.job_id: lease for lease in claim(queue)}
    queue.release([leases[job_id]])
    before = counted(queue.database)
    acts = (
        lambda: queue.cancel_job(job_id, force=True),
        lambda: queue.set_priority(job_id, Priority.HIGH),
        lambda: queue.set_paused(True),
        lambda: matching(queue, FORCE),
        lambda: fail(queue, leases[failed]),
        lambda: queue.retry_later(leases[failed], "timeout", "It took too long.", 1),
    )
    for act in acts:
        with pytest.raises(IntegrityError, match="no lines"):
            act()
    assert counted(queue.database) == before
    assert not queue.is_paused()
    assert queue.job(job_id).priority is Priority.NORMAL


def test_every_act_in_this_process_is_pythons(queue: QueueManager) -> None:
    failed, waiting = job_in(queue, JobStatus.FAILED), submit(queue, "a.png", "b.png")
    queue.retry_job(failed)
    queue.set_priority(waiting, Priority.LOW)
    queue.set_paused(True)
    queue.set_paused(True)
    queue.set_paused(False)
    queue.cancel_job(waiting)
    assert lines(queue) == [
        ("failed", None, "The picture is damaged."),
        ("retry", PYTHON, "1 failed file"),
        ("priority", PYTHON, "low"),
        ("pause", PYTHON, None),
        ("resume", PYTHON, None),
        ("cancel", PYTHON, None),
    ]


def test_the_timeline_of_a_job_tells_of_every_attempt_that_failed(queue: QueueManager, clock: Clock) -> None:
    job_id = submit(queue, "a.png", "b.png")
    first, second = claim(queue)
    queue.retry_later(first, "timeout", "It took too long.", 0)
    clock.advance(seconds=61)
    queue.expire_leases()
    (again,) = claim(queue, 1)
    fail(queue, again)
    told, more = queue.acts.history_of(job_id, 3, None)
    assert more is None
    assert queue.acts.history_of(job_id, 1, None) == (told[:1], told[0].id)
    assert queue.acts.history_of(job_id, 2, told[0].id) == (told[1:], None)
    assert [(line.act, line.position, line.code, line.detail) for line in told] == [
        ("attempt_failed", 0, "timeout", "It took too long."),
        ("worker_lost", 1, None, "The worker that had it is gone or fell silent."),
        ("failed", 0, "damaged", "The picture is damaged."),
    ]
    assert told[0].at < told[1].at
    assert {line.by for line in told} == {None}
    assert second.file.position == 1
    assert queue.acts.history(10, None) == ([], None)


def test_the_history_of_a_job_goes_with_it_and_the_rest_after_ninety_days(queue: QueueManager, clock: Clock) -> None:
    submit(queue)
    matching(queue, CANCEL)
    queue.set_paused(True)
    assert len(lines(queue)) == 3
    clock.advance(days=8)
    queue.cleanup_old_jobs()
    assert [act for act, _, _ in lines(queue)] == ["cancel", "pause"]
    clock.advance(days=81)
    queue.cleanup_old_jobs()
    assert len(lines(queue)) == 2
    clock.advance(days=2)
    queue.cleanup_old_jobs()
    assert lines(queue) == []
