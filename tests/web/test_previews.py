"""Previews on their way out: of finished files, with an ETag, and why there are none."""

import hashlib
from io import BytesIO

import pytest
import requests
from PIL import ExifTags, Image

from job import JobStatus, preview_keys
from storage.local import LocalStorage
from tests.pictures import encode
from tests.queues import CUTOUT, Clock, claim, finish, job_in, stored, submit
from tests.service import SAMPLES, Service
from tests.web.shapes import problem
from tests.web.site import Site

KINDS = {"input": "image/jpeg", "result": "image/png"}


def address(job_id: str, of: str = "input", index: object = 0) -> str:
    return f"/queue/job/{job_id}/preview/{index}/{of}"


@pytest.mark.parametrize("of", KINDS)
def test_each_comes_with_its_type_and_a_strong_etag(site: Site, of: str) -> None:
    job_id = job_in(site.queue, JobStatus.COMPLETED)
    answer = site.get(address(job_id, of))
    assert (answer.status_code, answer.content) == (200, of.encode() + CUTOUT)
    assert answer.headers["Content-Type"] == KINDS[of]
    assert answer.headers["ETag"] == f'"{hashlib.sha256(answer.content).hexdigest()}"'
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    known = site.get(address(job_id, of), headers={"If-None-Match": answer.headers["ETag"]})
    assert (known.status_code, known.content, known.headers["ETag"]) == (304, b"", answer.headers["ETag"])
    assert site.get(address(job_id, of), headers={"If-None-Match": '"another"'}).status_code == 200


def test_a_file_of_a_batch_has_them_before_the_others(site: Site) -> None:
    job_id = submit(site.queue, "a.png", "b.png")
    _, second = claim(site.queue)
    finish(site.queue, second)
    assert site.get(address(job_id, index=1)).status_code == 200
    told = problem(site.get(address(job_id, index=0)), 404, "preview_not_found")
    assert "a.png is not finished yet" in told["detail"]


@pytest.mark.parametrize("status", [status for status in JobStatus if status is not JobStatus.COMPLETED])
def test_without_a_result_there_is_none(site: Site, status: JobStatus) -> None:
    problem(site.get(address(job_in(site.queue, status))), 404, "preview_not_found")


def test_of_what_is_not_known_there_is_none(site: Site, clock: Clock) -> None:
    problem(site.get(address("nobody")), 404, "job_not_found")
    job_id = job_in(site.queue, JobStatus.COMPLETED)
    problem(site.get(address(job_id, index=1)), 404, "result_not_found")
    problem(site.get(address(job_id, index="first")), 422, "invalid_request")
    problem(site.get(address(job_id, of="mask")), 422, "invalid_request")
    clock.advance(days=8)
    site.queue.cleanup_old_jobs()
    problem(site.get(address(job_id)), 410, "job_expired")


@pytest.mark.parametrize("of", KINDS)
def test_a_result_of_an_earlier_version_has_none(site: Site, storage: LocalStorage, of: str) -> None:
    job_id = job_in(site.queue, JobStatus.COMPLETED)
    output_key = str(site.queue.result(job_id, 0).output_key)
    assert set(preview_keys(output_key)) < set(stored(storage))
    storage.delete(f"{output_key}.{of}")
    told = problem(site.get(address(job_id, of)), 404, "preview_not_found")
    assert "There is no preview of cat.png" in told["detail"]
    storage.put(f"{output_key}.{of}", b"")
    problem(site.get(address(job_id, of)), 404, "preview_not_found")
    assert site.get(f"/queue/job/{job_id}/result").content == CUTOUT


def photo_with_a_place() -> bytes:
    """Lying on its side, with the camera's position."""
    tags = Image.Exif()
    tags[ExifTags.Base.Orientation] = 6
    tags.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] = (52.0, 31.0, 12.0)
    with Image.open(SAMPLES[1]) as photo:
        return encode(photo.resize((800, 600)), "JPEG", exif=tags)


def test_the_service_makes_them_of_real_pictures(service: Service) -> None:
    pictures = [("turned.jpg", photo_with_a_place()), ("cat.jpg", SAMPLES[1].read_bytes())]
    job_id = service.submit(pictures)
    service.wait_for(job_id)
    for of, kind in KINDS.items():
        answer = requests.get(service.url + address(job_id, of), timeout=10)
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, kind)
        shown = Image.open(BytesIO(answer.content))
        shown.load()
        assert shown.size == (240, 320)
        assert not shown.getexif()
    assert (shown.mode, len(answer.content) < 150_000) == ("RGBA", True)
    with Image.open(BytesIO(requests.get(service.url + address(job_id, index=1), timeout=10).content)) as shown:
        assert max(shown.size) == 320


def test_a_result_that_is_taken_again_has_them_too(service: Service) -> None:
    picture = [("cat.jpg", SAMPLES[1].read_bytes())]
    first, again = (service.wait_for(service.submit(picture, cache="on", quality="81")) for _ in range(2))
    assert again["results"][0]["cached"]  # type: ignore[index]
    for of in KINDS:
        places = [service.url + address(str(job["id"]), of) for job in (first, again)]
        answers = [requests.get(place, timeout=10) for place in places]
        assert answers[0].status_code == 200
        assert answers[0].content == answers[1].content
