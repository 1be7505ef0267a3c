"""What a board of the queue is told: how it is doing, who works on what, and what became of each file."""

from datetime import timedelta

import pytest

from job import JobStatus, Priority, timestamp
from tests.queues import PICTURE, Clock, claim, fail, finish, job_in, submit, worker_state
from tests.web.shapes import problem
from tests.web.site import Site


def stats(site: Site) -> dict[str, object]:
    told: dict[str, object] = site.get("/queue/stats").json()
    return told


def test_an_empty_queue_has_no_pulse(site: Site) -> None:
    told = stats(site)
    assert (told["paused"], told["files"]) == (False, {"pending": 0, "processing": 0})
    assert (told["oldest_waiting_at"], told["per_minute"]) == (None, 0.0)
    assert site.get("/queue/workers").json() == {"workers": []}


def test_files_are_counted_beside_jobs(site: Site) -> None:
    submit(site.queue, "a.png", "b.png", "c.png")
    claim(site.queue, 1)
    assert stats(site)["files"] == {"pending": 2, "processing": 1}
    site.queue.set_paused(True)
    assert stats(site)["paused"] is True


def test_the_oldest_that_waits_is_found_whatever_its_priority(site: Site, clock: Clock) -> None:
    low = site.queue.create_job([("a.png", PICTURE)], model="u2netp", priority=Priority.LOW)
    since = timestamp(clock.now)
    clock.advance(minutes=3)
    submit(site.queue)
    assert stats(site)["oldest_waiting_at"] == since
    site.queue.cancel_job(low)
    assert stats(site)["oldest_waiting_at"] == timestamp(clock.now)


def test_a_retried_job_waits_since_its_retry_and_one_that_is_to_come_later_does_not_wait(
    site: Site, clock: Clock
) -> None:
    job_id = job_in(site.queue, JobStatus.FAILED)
    clock.advance(days=1)
    site.queue.retry_job(job_id)
    assert stats(site)["oldest_waiting_at"] == timestamp(clock.now)
    (lease,) = claim(site.queue)
    site.queue.retry_later(lease, "timeout", "It took too long.", 30)
    assert stats(site)["oldest_waiting_at"] is None
    clock.advance(seconds=30)
    assert stats(site)["oldest_waiting_at"] == timestamp(clock.now)


def test_throughput_counts_what_ended_in_each_minute(site: Site, clock: Clock) -> None:
    clock.now = clock.now.replace(second=59, microsecond=999_999)
    first, second, third = (submit(site.queue) for _ in range(3))
    leases = {lease.file.job_id: lease for lease in claim(site.queue)}
    finish(site.queue, leases[first])
    fail(site.queue, leases[second])
    # The work has just begun.
    assert stats(site)["per_minute"] == 2
    clock.advance(minutes=2, microseconds=1)
    finish(site.queue, leases[third])
    told = site.get("/queue/throughput?minutes=5").json()["minutes"]
    begin = clock.now.replace(second=0, microsecond=0)
    assert [minute["at"] for minute in told] == [timestamp(begin - timedelta(minutes=n)) for n in (4, 3, 2, 1, 0)]
    assert [(minute["completed"], minute["failed"]) for minute in told] == [(0, 0), (1, 1), (0, 0), (0, 0), (1, 0)]
    # This minute has not ended yet.
    assert stats(site)["per_minute"] == 2 / 3
    clock.advance(minutes=1)
    assert stats(site)["per_minute"] == 3 / 4
    clock.advance(minutes=5)
    assert stats(site)["per_minute"] == 0.0


def test_an_hour_is_told_unless_something_else_is_asked_for(site: Site) -> None:
    assert len(site.get("/queue/throughput").json()["minutes"]) == 60
    for query in ("0", "1441", "x"):
        problem(site.get(f"/queue/throughput?minutes={query}"), 422, "invalid_request")


def test_minutes_are_forgotten_after_a_day(site: Site, clock: Clock) -> None:
    job_in(site.queue, JobStatus.COMPLETED)
    for hours, known in ((23, 1), (2, 0)):
        clock.advance(hours=hours)
        site.queue.cleanup_old_jobs()
        with site.queue.database.read() as connection:
            assert connection.exec_driver_sql("SELECT COUNT(*) FROM minutes").scalar() == known


def test_a_worker_shows_what_is_in_its_slots_and_what_comes_next(site: Site, clock: Clock) -> None:
    state = {"ready": True, "warm_models": ["u2netp"], "trouble": "It is hot."}
    site.queue.heartbeat(worker_state("worker-1", clock.now, state=state), [])
    site.queue.heartbeat(worker_state("worker-2", clock.now), [])
    job_id = submit(site.queue, "a.png", "b.png", "c.png")
    claim(site.queue, 2)
    clock.advance(seconds=1)
    claim(site.queue, 1)
    first, second = site.get("/queue/workers").json()["workers"]
    assert (first["id"], first["machine"], first["pid"], first["max_concurrent"]) == ("worker-1", "here", 4711, 2)
    assert (first["warm_models"], first["trouble"]) == (["u2netp"], "It is hot.")
    assert first["running"][0] == {
        "job_id": job_id,
        "index": 0,
        "filename": "a.png",
        "model": "u2netp",
        "started_at": timestamp(clock.now - timedelta(seconds=1)),
    }
    assert [file["index"] for file in first["running"]] == [0, 1]
    assert [file["index"] for file in first["next"]] == [2]
    assert (second["id"], second["running"], second["next"]) == ("worker-2", [], [])


def test_files_of_a_job_are_told_one_by_one(site: Site, clock: Clock) -> None:
    job_id = submit(site.queue, "a.png", "b.png", "c.png")
    good, bad, again = claim(site.queue)
    begun = timestamp(clock.now)
    clock.advance(seconds=1)
    finish(site.queue, good)
    fail(site.queue, bad)
    site.queue.retry_later(again, "timeout", "It took too long.", 30)
    first, second, third = site.get(f"/queue/job/{job_id}/files").json()["files"]
    assert first == {
        "index": 0,
        "filename": "a.png",
        "status": "completed",
        "attempts": 1,
        "input_bytes": good.file.input_bytes,
        "input_format": "png",
        "width": 9,
        "height": 9,
        "output_bytes": first["output_bytes"],
        "content_type": "image/png",
        "started_at": begun,
        "completed_at": timestamp(clock.now),
        "seconds": 0.25,
        "error": None,
        "error_code": None,
        "next_attempt_at": None,
        "worker": "worker-1",
        "cached": False,
        "notes": {},
        "input_preview": f"/queue/job/{job_id}/preview/0/input",
        "result_preview": f"/queue/job/{job_id}/preview/0/result",
        "url": f"/queue/job/{job_id}/result/0",
    }
    assert site.get(first["url"]).status_code == 200
    assert (second["status"], second["error"], second["error_code"]) == ("failed", "The picture is damaged.", "damaged")
    assert (second["url"], second["input_preview"], second["result_preview"]) == (None, None, None)
    assert (third["status"], third["attempts"], third["error"]) == ("pending", 1, "It took too long.")
    assert third["next_attempt_at"] == timestamp(clock.now + timedelta(seconds=30))


def test_files_come_in_pages(site: Site) -> None:
    job_id = submit(site.queue, *(f"{n}.png" for n in range(5)))
    seen: list[int] = []
    after: int | None = -1
    while after is not None:
        told = site.get(f"/queue/job/{job_id}/files?limit=2&after={after}").json()
        seen += [file["index"] for file in told["files"]]
        after = told["next"]
    assert seen == [0, 1, 2, 3, 4]
    assert site.get(f"/queue/job/{job_id}/files?after=4").json() == {"files": [], "next": None}


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "after=-2", "after=9999999999999999999999"])
def test_a_page_that_makes_no_sense_is_refused(site: Site, query: str) -> None:
    problem(site.get(f"/queue/job/{submit(site.queue)}/files?{query}"), 422, "invalid_request")


def test_files_of_unknown_and_expired_jobs(site: Site, clock: Clock) -> None:
    problem(site.get("/queue/job/nobody/files"), 404, "job_not_found")
    job_id = job_in(site.queue, JobStatus.COMPLETED)
    clock.advance(days=8)
    site.queue.cleanup_old_jobs()
    problem(site.get(f"/queue/job/{job_id}/files"), 410, "job_expired")
