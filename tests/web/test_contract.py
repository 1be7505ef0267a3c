"""The contract with clients that exist already, against the whole service, by plain `requests`."""

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator

import pytest
import requests
from PIL import Image

from tests.pictures import encode, heic, ramp
from tests.service import SAMPLES, Service
from tests.web.shapes import Cancelled, FileResult, Health, JobPage, JobShape, Stats, Submitted, answer, problem

PNG = encode(ramp(), "PNG")
DAMAGED = PNG[: len(PNG) * 2 // 3]


def get(service: Service, path: str) -> requests.Response:
    return requests.get(service.url + path, timeout=10)


def post(service: Service, path: str, *files: tuple[str, bytes]) -> requests.Response:
    return requests.post(service.url + path, files=[("images", file) for file in files], timeout=10)


def ended_job(service: Service, job_id: str) -> JobShape:
    service.wait_for(job_id)
    return answer(get(service, f"/queue/job/{job_id}"), 200, JobShape)


def results_of(job: JobShape) -> list[FileResult]:
    assert job["results"] is not None
    return job["results"]


@pytest.fixture
def paused(service: Service) -> Iterator[None]:
    """Jobs stay pending meanwhile."""
    assert post(service, "/queue/pause").json() == {"paused": True}
    yield
    assert post(service, "/queue/resume").json() == {"paused": False}


@pytest.fixture(scope="module")
def single(service: Service) -> str:
    """A finished job of one photo."""
    job_id = service.submit([("cat.jpg", next(path for path in SAMPLES if path.stem == "cat").read_bytes())])
    service.wait_for(job_id)
    return job_id


@pytest.fixture(scope="module")
def batch(service: Service) -> str:
    """A finished job in which one picture of three is damaged and two have the same name."""
    job_id = service.submit([("a.png", PNG), ("bad.png", DAMAGED), ("a.jpg", encode(ramp(), "JPEG"))])
    service.wait_for(job_id)
    return job_id


def test_a_submit_is_answered_with_202_and_where_to_look(service: Service) -> None:
    response = post(service, "/queue/submit?model=u2netp", ("cat.png", PNG))
    told = answer(response, 202, Submitted)
    assert (told["job_type"], told["files_count"], told["model"]) == ("single", 1, "u2netp")
    assert response.headers["Location"] == f"/queue/job/{told['job_id']}"
    assert get(service, response.headers["Location"]).status_code == 200


def test_several_files_are_a_batch(service: Service) -> None:
    told = answer(post(service, "/queue/submit?model=u2netp", ("a.png", PNG), ("b.png", PNG)), 202, Submitted)
    assert (told["job_type"], told["files_count"]) == ("batch", 2)


def test_a_finished_job_of_one_photo(service: Service, single: str) -> None:
    job = ended_job(service, single)
    assert (job["id"], job["status"], job["type"]) == (single, "completed", "single")
    assert job["progress"] == {"total": 1, "processed": 1, "failed": 0}
    assert (job["filenames"], job["model"], job["error"]) == (["cat.jpg"], "u2netp", None)
    (result,) = results_of(job)
    assert (result["filename"], result["status"], result["error"]) == ("cat.jpg", "completed", None)
    assert (result["content_type"], result["model"]) == ("image/png", "u2netp")
    assert result["url"] == f"/queue/job/{single}/result/0"
    assert result["seconds"] is not None
    assert result["seconds"] > 0
    assert job["started_at"] is not None
    assert job["completed_at"] is not None
    assert job["created_at"] <= job["started_at"] <= job["completed_at"]


@pytest.mark.parametrize("path", ["result", "result/0"])
def test_the_result_of_one_photo_is_the_cutout(service: Service, single: str, path: str) -> None:
    (result,) = results_of(ended_job(service, single))
    response = get(service, f"/queue/job/{single}/{path}")
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "image/png"
    assert 'filename="cat.png"' in response.headers["Content-Disposition"]
    assert hashlib.sha256(response.content).hexdigest() == result["sha256"]
    assert len(response.content) == result["bytes"]
    with Image.open(io.BytesIO(response.content)) as image:
        assert (image.format, image.mode, image.size) == ("PNG", "RGBA", (result["width"], result["height"]))
        transparency = image.getchannel("A").histogram()
    assert transparency[0] > 0
    assert transparency[255] > 0


def test_a_batch_with_one_damaged_picture_completes_and_says_so(service: Service, batch: str) -> None:
    job = ended_job(service, batch)
    assert (job["status"], job["type"], job["failed_files"]) == ("completed", "batch", 1)
    assert job["progress"] == {"total": 3, "processed": 2, "failed": 1}
    good, bad, also_good = results_of(job)
    assert [entry["status"] for entry in (good, bad, also_good)] == ["completed", "failed", "completed"]
    assert bad["url"] is None
    assert bad["error"]
    problem(get(service, f"/queue/job/{batch}/result/1"), 409, "result_unavailable")


def test_the_result_of_a_batch_is_a_zip_with_a_manifest(service: Service, batch: str) -> None:
    response = get(service, f"/queue/job/{batch}/result")
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/zip"
    assert f'filename="{batch}.zip"' in response.headers["Content-Disposition"]
    assert int(response.headers["Content-Length"]) == len(response.content)
    entries = results_of(ended_job(service, batch))
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["a.png", "a (2).png", "manifest.json"]
        digests = [hashlib.sha256(archive.read(name)).hexdigest() for name in ("a.png", "a (2).png")]
        manifest = json.loads(archive.read("manifest.json"))
    assert digests == [entries[0]["sha256"], entries[2]["sha256"]]
    assert [file["status"] for file in manifest["files"]] == ["completed", "failed", "completed"]
    assert [file["name_in_archive"] for file in manifest["files"]] == ["a.png", None, "a (2).png"]
    assert manifest["files"][1]["error"] == entries[1]["error"]


def test_a_job_whose_only_picture_is_damaged_fails_with_a_sentence(service: Service) -> None:
    job = ended_job(service, service.submit([("bad.png", DAMAGED)]))
    assert (job["status"], job["failed_files"]) == ("failed", 1)
    assert job["error"] == results_of(job)[0]["error"]
    told = problem(get(service, f"/queue/job/{job['id']}/result"), 409, "result_unavailable")
    assert job["error"] in told["detail"]


def test_every_promised_format_is_taken_and_worked_on(service: Service) -> None:
    kinds = ("JPEG", "PNG", "WebP", "BMP", "TIFF", "GIF", "AVIF")
    pictures = [(f"cat.{kind.lower()}", encode(ramp(), kind)) for kind in kinds]
    job = ended_job(service, service.submit([*pictures, ("cat.heic", heic(ramp()))]))
    assert {entry["filename"]: entry["error"] for entry in results_of(job)} == dict.fromkeys(job["filenames"])
    assert job["progress"] == {"total": 8, "processed": 8, "failed": 0}


def test_a_listing_shows_jobs_as_their_own_answer_does_but_for_results(
    service: Service, single: str, batch: str
) -> None:
    page = answer(get(service, "/queue/jobs?status=completed&limit=1000"), 200, JobPage)
    listed = {job["id"]: job for job in page["jobs"]}
    assert listed.keys() >= {single, batch}
    assert page["total"] == len(page["jobs"])
    assert {job["status"] for job in page["jobs"]} == {"completed"}
    assert listed[batch] == {**ended_job(service, batch), "results": None}


def test_a_listing_has_20_jobs_unless_told_otherwise(service: Service) -> None:
    page = answer(get(service, "/queue/jobs"), 200, JobPage)
    assert len(page["jobs"]) == min(page["total"], 20)
    assert len(answer(get(service, "/queue/jobs?limit=1"), 200, JobPage)["jobs"]) == 1


@pytest.mark.usefixtures("paused")
def test_a_pending_job_is_cancelled_and_cancelling_again_answers_as_before(service: Service) -> None:
    job_id = service.submit([("cat.png", PNG)])
    pending = answer(get(service, f"/queue/job/{job_id}"), 200, JobShape)
    assert (pending["status"], pending["started_at"], pending["results"]) == ("pending", None, None)
    cancelled = answer(post(service, f"/queue/job/{job_id}/cancel"), 200, Cancelled)
    assert cancelled["job_id"] == job_id
    assert answer(post(service, f"/queue/job/{job_id}/cancel"), 200, Cancelled) == cancelled
    assert answer(get(service, f"/queue/job/{job_id}"), 200, JobShape)["status"] == "cancelled"


def test_a_finished_job_cannot_be_cancelled_and_stays_as_it_is(service: Service, single: str) -> None:
    before = ended_job(service, single)
    told = problem(post(service, f"/queue/job/{single}/cancel"), 409, "illegal_transition")
    assert "completed" in told["detail"]
    assert ended_job(service, single) == before


def test_statistics_count_jobs_and_tell_of_the_worker(service: Service, single: str) -> None:
    told = answer(get(service, "/queue/stats"), 200, Stats)
    stats = told["stats"]
    counts = [stats["pending"], stats["processing"], stats["completed"], stats["failed"], stats["cancelled"]]
    assert stats["completed"] >= 1
    assert stats["total"] == sum(counts)
    assert (told["worker"]["status"], told["worker"]["max_concurrent"]) == ("running", 1)


@pytest.mark.usefixtures("paused")
def test_statistics_tell_that_the_queue_is_paused(service: Service) -> None:
    assert answer(get(service, "/queue/stats"), 200, Stats)["worker"]["status"] == "paused"


def test_the_service_is_healthy_and_ready(service: Service) -> None:
    answer(get(service, "/health"), 200, Health)
    assert get(service, "/ready").json() == {"status": "ready", "reason": None}


def test_the_model_of_the_worker_is_listed_as_installed(service: Service) -> None:
    told = get(service, "/models").json()
    listed = {model["name"]: model for model in told["models"]}
    assert told["default"] == "u2netp"
    assert listed["u2netp"]["installed"] is True
    assert [name for name, model in listed.items() if model["default"]] == ["u2netp"]


def test_an_unknown_job_is_not_found(service: Service) -> None:
    for path in ("", "/result", "/result/0"):
        problem(get(service, f"/queue/job/nobody{path}"), 404, "job_not_found")
    problem(post(service, "/queue/job/nobody/cancel"), 404, "job_not_found")


def test_the_interactive_documentation_is_at_docs(service: Service) -> None:
    assert "swagger" in get(service, "/docs").text.lower()
    paths = get(service, "/openapi.json").json()["paths"]
    assert paths.keys() >= {
        "/queue/submit",
        "/queue/job/{job_id}",
        "/queue/job/{job_id}/cancel",
        "/queue/job/{job_id}/result",
        "/queue/jobs",
        "/queue/stats",
        "/health",
        "/ready",
        "/models",
    }
