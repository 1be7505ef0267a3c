"""What a job, the queue and the service tell of themselves, and cancelling."""

import json

import pytest
from sqlalchemy import insert, update

from database.tables import jobs
from job import JobStatus
from tests.queues import Clock, claim, fail, finish, job_in, submit, worker_state
from tests.web.shapes import Cancelled, JobShape, Stats, answer, problem
from tests.web.site import Site

DOWNLOADING = {"downloads": {"u2net": {"done": 41_200_000, "total": 175_997_641}}}


def job(site: Site, job_id: str) -> JobShape:
    return answer(site.get(f"/queue/job/{job_id}"), 200, JobShape)


# --- one job ----------------------------------------------------------------------------------------------------


def test_progress_counts_what_succeeded_and_what_failed(site: Site) -> None:
    job_id = submit(site.queue, "a.png", "b.png", "c.png")
    first, second, third = claim(site.queue)
    assert job(site, job_id)["progress"] == {"total": 3, "processed": 0, "failed": 0}
    finish(site.queue, second)
    assert job(site, job_id)["progress"] == {"total": 3, "processed": 1, "failed": 0}
    fail(site.queue, first)
    running = job(site, job_id)
    assert running["progress"] == {"total": 3, "processed": 1, "failed": 1}
    assert (running["status"], running["results"], running["completed_at"]) == ("processing", None, None)
    finish(site.queue, third)
    assert job(site, job_id)["progress"] == {"total": 3, "processed": 2, "failed": 1}


def test_results_have_an_entry_for_every_file_and_an_address_for_every_picture(site: Site) -> None:
    job_id = submit(site.queue, "a.png", "b.png")
    first, second = claim(site.queue)
    fail(site.queue, first, "It is damaged.")
    finish(site.queue, second)
    results = job(site, job_id)["results"]
    assert results is not None
    assert [(entry["filename"], entry["status"], entry["error"]) for entry in results] == [
        ("a.png", "failed", "It is damaged."),
        ("b.png", "completed", None),
    ]
    assert [entry["url"] for entry in results] == [None, f"/queue/job/{job_id}/result/1"]


def test_a_failed_job_has_a_sentence_and_its_count_of_files(site: Site) -> None:
    told = job(site, job_in(site.queue, JobStatus.FAILED, "a.png", "b.png"))
    assert (told["status"], told["failed_files"]) == ("failed", 2)
    assert told["error"] == "All 2 files failed. The picture is damaged."


def test_the_phase_tells_what_a_job_waits_for(site: Site, clock: Clock) -> None:
    job_id = submit(site.queue, model="u2net")
    other = submit(site.queue, model="u2netp")

    def phase(job_id: str) -> tuple[object, object]:
        told = site.get(f"/queue/job/{job_id}").json()
        return told["phase"], told["phase_detail"]

    assert phase(job_id) == ("queued", None)
    site.queue.heartbeat(worker_state("a", clock.now, state=DOWNLOADING), [])
    assert phase(job_id) == ("downloading_model", "The weights of u2net are being downloaded: 41 of 176 MB.")
    assert phase(other) == ("queued", None)
    leases = claim(site.queue)
    assert phase(other) == ("running", None)
    for lease in leases:
        finish(site.queue, lease)
    assert phase(job_id) == (None, None)


def test_results_that_versions_before_wrote_are_shown(site: Site) -> None:
    job_id = job_in(site.queue, JobStatus.COMPLETED)
    (entry,) = site.queue.job(job_id).results or ()
    before_reuse = {name: value for name, value in entry.items() if name != "cached"}
    with site.queue.database.write() as connection:
        connection.execute(update(jobs).values(results=json.dumps([before_reuse])))
    (told,) = job(site, job_id)["results"] or []
    assert (told["cached"], told["url"]) == (False, f"/queue/job/{job_id}/result/0")


def test_a_job_of_the_earlier_service_is_shown(site: Site) -> None:
    job_id = "0a2f1f6e-0a8b-4c43-9e0b-3f6b1f0f5b11"
    with site.queue.database.write() as connection:
        connection.execute(
            insert(jobs).values(
                id=job_id,
                status="completed",
                created_at="2025-03-01T10:00:00.123456Z",
                completed_at="2025-03-01T10:00:05.000000Z",
                job_type="single",
                filenames='["a.jpg"]',
                total_files=1,
                processed_files=1,
                model="u2net",
                results=json.dumps([{"filename": "a.jpg", "output": "/srv/secret/a.png"}]),
            )
        )
    told = job(site, job_id)
    assert (told["status"], told["results"], told["filenames"]) == ("completed", [], ["a.jpg"])
    assert "secret" not in site.get(f"/queue/job/{job_id}").text
    problem(site.get(f"/queue/job/{job_id}/result"), 409, "result_unavailable")


# --- cancelling -------------------------------------------------------------------------------------------------


def test_a_pending_job_is_cancelled(site: Site) -> None:
    job_id = submit(site.queue)
    told = answer(site.post(f"/queue/job/{job_id}/cancel"), 200, Cancelled)
    assert told["job_id"] == job_id
    assert job(site, job_id)["status"] == "cancelled"
    assert claim(site.queue) == []


@pytest.mark.parametrize("status", [JobStatus.PROCESSING, JobStatus.COMPLETED, JobStatus.FAILED])
def test_any_other_job_is_not_cancelled_and_stays_as_it_is(site: Site, status: JobStatus) -> None:
    job_id = job_in(site.queue, status)
    before = job(site, job_id)
    told = problem(site.post(f"/queue/job/{job_id}/cancel"), 409, "illegal_transition")
    assert f"it is {status}" in told["detail"]
    assert ("force=true" in told["detail"]) is (status is JobStatus.PROCESSING)
    assert job(site, job_id) == before


def test_force_cancels_a_running_job_too(site: Site) -> None:
    job_id = job_in(site.queue, JobStatus.PROCESSING, "a.png", "b.png")
    answer(site.post(f"/queue/job/{job_id}/cancel?force=true"), 200, Cancelled)
    assert job(site, job_id)["status"] == "cancelled"
    assert site.get("/queue/stats").json()["files"] == {"pending": 0, "processing": 0}


def test_cancelling_again_answers_as_the_first_time(site: Site) -> None:
    job_id = submit(site.queue)
    first, second = (site.post(f"/queue/job/{job_id}/cancel") for _ in range(2))
    assert (first.status_code, first.json()) == (second.status_code, second.json())


# --- the service ------------------------------------------------------------------------------------------------


def test_without_a_worker_the_queue_is_stopped_and_not_ready(site: Site) -> None:
    assert site.get("/queue/stats").json()["worker"]["status"] == "stopped"
    response = site.get("/ready")
    assert response.status_code == 503
    assert response.json() == {"status": "not_ready", "reason": "No worker is running yet."}


def test_statistics_come_from_the_workers_whichever_process_answers(site: Site, clock: Clock) -> None:
    trouble = "The weights are gone."
    site.queue.heartbeat(worker_state("a", clock.now, state={"ready": True, "warm_models": ["u2net", "u2netp"]}), [])
    site.queue.heartbeat(worker_state("b", clock.now, state={"warm_models": ["u2net"], "trouble": trouble}), [])
    job_in(site.queue, JobStatus.PROCESSING, "a.png", "b.png", "c.png")
    told = site.get("/queue/stats")
    worker = told.json()["worker"]
    assert answer(told, 200, Stats)["worker"] == {"status": "running", "active_jobs": 3, "max_concurrent": 4}
    assert (worker["ready"], worker["warm_models"], worker["trouble"]) == (True, ["u2net", "u2netp"], trouble)
    assert site.get("/ready").status_code == 200


def test_a_worker_that_fell_silent_counts_no_more(site: Site, clock: Clock) -> None:
    site.queue.heartbeat(worker_state("a", clock.now, state={"ready": True}), [])
    assert site.get("/ready").status_code == 200
    clock.advance(seconds=site.queue.lease_seconds + 1)
    assert site.get("/ready").status_code == 503
    assert site.get("/queue/stats").json()["worker"]["status"] == "stopped"


def test_every_model_tells_what_one_must_know_before_using_it(site: Site) -> None:
    told = site.get("/models").json()
    listed = {model["name"]: model for model in told["models"]}
    assert told["default"] == "u2net"
    assert listed["silueta"]["aliases"] == ["siluette"]
    assert listed["u2net"]["default"] is True
    assert listed["bria-rmbg"]["commercial_use"] == "no"
    assert listed["withoutbg"]["usable"] is False
    assert listed["withoutbg"]["reason"]
    for model in told["models"]:
        assert isinstance(model["installed"], bool)
        assert model["licence"]


def test_health_tells_the_limits_of_a_submit(site: Site) -> None:
    told = site.get("/health").json()
    assert told["status"] == "healthy"
    assert told["limits"].keys() >= {"max_files_per_job", "max_upload_bytes", "max_request_bytes", "max_megapixels"}
