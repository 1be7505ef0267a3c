"""Who gets in: a bounded queue, a reserve of disk, and who goes first."""

import shutil
from dataclasses import replace

import pytest

from database.engine import Database
from errors import StorageFull
from job import JobStatus, Priority
from queue_manager import QueueManager
from storage.local import LocalStorage
from tests.queues import LIMITS, PICTURE, Clock, claim, fail, finish, job_in, stored, submit, worker_state
from tests.web.shapes import problem
from tests.web.site import Site

HUGE = 2**60


@pytest.fixture
def small(site: Site) -> Site:
    """Three files may wait."""
    site.queue.limits = replace(LIMITS, max_pending_files=3)
    return site


# --- the bounded queue ------------------------------------------------------------------------------------------


def test_a_full_queue_refuses_with_a_time_to_come_back(small: Site) -> None:
    submit(small.queue, "a.png", "b.png", "c.png")
    answer = small.submit([("d.png", PICTURE)])
    told = problem(answer, 429, "queue_full")
    assert told["detail"] == "The queue is full: 3 files wait, and 3 may."
    assert answer.headers["Retry-After"] == "10", "nobody knows yet how fast it drains"
    assert len(stored(small.queue.storage)) == 3


def test_a_batch_gets_in_as_a_whole_or_not_at_all(small: Site) -> None:
    submit(small.queue, "a.png", "b.png")
    problem(small.submit([("c.png", PICTURE), ("d.png", PICTURE)]), 429, "queue_full")
    assert len(stored(small.queue.storage)) == 2
    assert small.submit([("c.png", PICTURE)]).status_code == 202


def test_the_time_to_come_back_is_measured(small: Site, clock: Clock) -> None:
    state = worker_state("one", clock.now, state={"median_seconds": 9.5})
    small.queue.heartbeat(state, [])
    submit(small.queue, "a.png", "b.png", "c.png")
    assert state.max_concurrent == 2
    assert small.submit([("d.png", PICTURE)]).headers["Retry-After"] == "5"


def test_there_is_room_again_when_a_worker_has_taken_a_file(small: Site) -> None:
    submit(small.queue, "a.png", "b.png", "c.png")
    claim(small.queue, 1)
    assert small.submit([("d.png", PICTURE)]).status_code == 202


def test_a_full_queue_still_works_and_answers(small: Site) -> None:
    job_id = submit(small.queue, "a.png", "b.png", "c.png")
    assert small.get(f"/queue/job/{job_id}").status_code == 200
    for lease in claim(small.queue):
        finish(small.queue, lease)
    assert small.queue.job(job_id).status is JobStatus.COMPLETED


def test_an_uploading_client_hears_of_the_refusal(small: Site) -> None:
    """More than fits into the buffers of a connection."""
    submit(small.queue, "a.png", "b.png", "c.png")
    problem(small.submit([(f"{n}.png", PICTURE + bytes(4 * 2**20)) for n in range(4)]), 429, "queue_full")
    assert len(stored(small.queue.storage)) == 3


# --- the disk -----------------------------------------------------------------------------------------------------


def test_a_disk_below_its_reserve_takes_and_does_nothing(site: Site, clock: Clock) -> None:
    site.queue.heartbeat(worker_state("one", clock.now, state={"ready": True}), [])
    job_id = submit(site.queue)
    site.queue.limits = replace(LIMITS, disk_reserve_bytes=HUGE)
    answer = site.submit([("a.png", PICTURE)])
    problem(answer, 507, "storage_full")
    assert answer.headers["Retry-After"] == "60"
    assert len(stored(site.queue.storage)) == 1
    with pytest.raises(StorageFull):  # no room for results either
        claim(site.queue)
    ready = site.get("/ready")
    assert (ready.status_code, ready.json()["reason"]) == (503, "The disk is nearly full.")
    site.queue.limits = LIMITS
    assert site.submit([("a.png", PICTURE)]).status_code == 202
    assert site.get("/ready").status_code == 200
    assert {lease.file.job_id for lease in claim(site.queue)} > {job_id}


def test_a_request_that_would_use_up_the_reserve_is_refused_before_it_is_sent(site: Site) -> None:
    """The free space of a real disk moves, so the announced length is what goes beyond it here."""
    free = site.queue.storage.free_bytes()
    site.queue.limits = replace(LIMITS, max_request_bytes=HUGE, max_upload_bytes=HUGE)
    head = f"POST /queue/submit HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {2 * free}\r\n"
    answer = site.send(f"{head}Content-Type: multipart/form-data; boundary=b\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 507")
    assert stored(site.queue.storage) == []


def test_a_data_folder_that_was_deleted_is_made_again(site: Site, storage: LocalStorage) -> None:
    shutil.rmtree(storage.root, ignore_errors=True)
    assert claim(site.queue) == []
    assert site.submit([("a.png", PICTURE)]).status_code == 202


# --- readiness ----------------------------------------------------------------------------------------------------


def test_a_database_that_cannot_be_written_to_is_not_ready(site: Site, clock: Clock, database_url: str) -> None:
    site.queue.heartbeat(worker_state("one", clock.now, state={"ready": True}), [])
    path = database_url.removeprefix("sqlite:///")
    read_only = Database(f"sqlite:///file:{path}?mode=ro&uri=true")
    site.hold(QueueManager(read_only, site.queue.storage, LIMITS, clock=clock))
    answer = site.get("/ready")
    assert (answer.status_code, answer.json()["reason"]) == (503, "The database cannot be written to.")
    problem(site.submit([("a.png", PICTURE)]), 503, "database_error")
    assert site.get("/queue/stats").status_code == 200
    read_only.close()


def test_a_paused_queue_is_ready_to_take_jobs(site: Site, clock: Clock) -> None:
    site.queue.heartbeat(worker_state("one", clock.now, state={"ready": True}), [])
    site.post("/queue/pause")
    assert site.get("/ready").status_code == 200
    assert site.get("/queue/stats").json()["worker"]["status"] == "paused"


# --- who goes first -----------------------------------------------------------------------------------------------


def test_high_goes_before_normal_before_low_and_inside_one_first_in_first_out(site: Site) -> None:
    wanted = {}
    for name, priority in [("1", "low"), ("2", "normal"), ("3", "high"), ("4", "normal"), ("5", "high"), ("6", "low")]:
        answer = site.submit([(f"{name}.png", PICTURE)], f"?priority={priority}")
        wanted[name] = answer.json()["priority"]
    assert list(wanted.values()) == ["low", "normal", "high", "normal", "high", "low"]
    order = [lease.file.filename.removesuffix(".png") for _ in range(6) for lease in claim(site.queue, 1)]
    assert order == ["3", "5", "2", "4", "1", "6"]


def test_the_place_in_the_queue_knows_priorities(site: Site) -> None:
    low = site.submit([("a.png", PICTURE)], priority="low").json()
    normal = site.submit([("b.png", PICTURE), ("c.png", PICTURE)]).json()
    high = site.submit([("d.png", PICTURE)], priority="high").json()
    assert [answer["position"] for answer in (low, normal, high)] == [1, 1, 1]
    places = {
        name: site.get(f"/queue/job/{answer['job_id']}").json()["position"]
        for name, answer in {"low": low, "normal": normal, "high": high}.items()
    }
    assert places == {"high": 1, "normal": 2, "low": 4}


def test_an_unknown_priority_is_refused(site: Site) -> None:
    told = problem(site.submit([("a.png", PICTURE)], priority="urgent"), 422, "invalid_request")
    assert "priority" in told["detail"]
    assert stored(site.queue.storage) == []


def test_waiting_is_estimated_from_the_files_before(site: Site, clock: Clock) -> None:
    assert site.submit([("a.png", PICTURE)]).json()["estimated_wait_seconds"] is None, "unknown"
    site.queue.heartbeat(worker_state("one", clock.now, state={"median_seconds": 3.0}), [])
    answer = site.submit([("b.png", PICTURE), ("c.png", PICTURE)]).json()
    assert (answer["position"], answer["estimated_wait_seconds"]) == (2, 3.0)
    shown = site.get(f"/queue/job/{answer['job_id']}").json()
    assert (shown["position"], shown["estimated_wait_seconds"]) == (2, 3.0)
    clock.advance(seconds=61)
    assert site.get(f"/queue/job/{answer['job_id']}").json()["estimated_wait_seconds"] is None, "its worker is gone"


# --- retry --------------------------------------------------------------------------------------------------------


def test_a_retry_runs_the_failed_files_again_and_only_those(site: Site) -> None:
    job_id = submit(site.queue, "good.png", "bad.png")
    good, bad = claim(site.queue)
    finish(site.queue, good)
    fail(site.queue, bad)
    answer = site.post(f"/queue/job/{job_id}/retry")
    assert (answer.status_code, answer.json()["status"]) == (200, "pending")
    shown = site.get(f"/queue/job/{job_id}").json()
    assert (shown["status"], shown["results"]) == ("pending", None)
    assert shown["progress"] == {"total": 2, "processed": 1, "failed": 0}
    assert site.get(f"/queue/job/{job_id}/result/0").status_code == 200, "what had succeeded stays"
    (again,) = claim(site.queue)
    assert again.file.filename == "bad.png"
    finish(site.queue, again)
    results = site.get(f"/queue/job/{job_id}").json()["results"]
    assert [(entry["status"], entry["attempts"]) for entry in results] == [("completed", 1), ("completed", 1)]


@pytest.mark.parametrize("status", [JobStatus.PENDING, JobStatus.PROCESSING, JobStatus.COMPLETED, JobStatus.CANCELLED])
def test_what_has_no_failed_files_cannot_be_retried(site: Site, status: JobStatus) -> None:
    job_id = job_in(site.queue, status)
    before = site.get(f"/queue/job/{job_id}").json()
    told = problem(site.post(f"/queue/job/{job_id}/retry"), 409, "illegal_transition")
    assert ("none of its files failed" if status is JobStatus.COMPLETED else str(status)) in told["detail"]
    assert site.get(f"/queue/job/{job_id}").json() == before


def test_an_unknown_job_cannot_be_retried(site: Site) -> None:
    problem(site.post("/queue/job/none/retry"), 404, "job_not_found")


def test_a_file_that_will_be_tried_again_says_when(site: Site, clock: Clock) -> None:
    job_id = site.queue.create_job([("a.png", PICTURE)], priority=Priority.HIGH)
    shown = site.get(f"/queue/job/{job_id}").json()
    assert (shown["attempts"], shown["next_attempt_at"]) == (0, None)
    (lease,) = claim(site.queue)
    site.queue.retry_later(lease, "child_died", "The process died.", 7.0)
    shown = site.get(f"/queue/job/{job_id}").json()
    assert (shown["status"], shown["attempts"], shown["priority"]) == ("processing", 1, "high")
    assert shown["next_attempt_at"] == "2026-11-01T12:00:07.123456Z"
    assert claim(site.queue) == []
    clock.advance(seconds=7)
    assert len(claim(site.queue)) == 1
