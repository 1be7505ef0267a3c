"""Pictures that an earlier job was given, taken again: `image_job=<job id>/<index>`."""

import os
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from PIL import Image

from job import JobStatus
from storage.local import LocalStorage
from tests.pictures import encode, ramp
from tests.queues import PICTURE, Clock, job_in, stored
from tests.service import SAMPLES, Service
from tests.web.bodies import END, field, image
from tests.web.shapes import Submitted, answer, problem
from tests.web.site import Site

OTHER = encode(ramp(12, 8), "PNG")
MULTIPART = {"Content-Type": "multipart/form-data; boundary=----boundary7MA4YWxk"}


@pytest.fixture
def earlier(site: Site) -> str:
    """A job of two pictures."""
    return site.queue.create_job([("cat.png", PICTURE), ("cup.png", OTHER)], "u2netp")


def pictures(site: Site, response: requests.Response) -> list[tuple[str, bytes]]:
    """Those of the job that was queued."""
    job = site.queue.job(answer(response, 202, Submitted)["job_id"])
    keys = [site.queue.file(job.id, index).input_key for index in range(job.total_files)]
    assert all(key.startswith(f"uploads/{job.id}/") for key in keys)
    return list(zip(job.filenames, map(site.queue.storage.get, keys), strict=True))


def test_the_query_alone_is_enough(site: Site, earlier: str) -> None:
    wanted = [f"{earlier}/1", f"{earlier}/0", f"{earlier}/1"]
    response = site.post("/queue/submit", params={"image_job": wanted, "crop": "true"})
    assert pictures(site, response) == [("cup.png", OTHER), ("cat.png", PICTURE), ("cup.png", OTHER)]


def test_it_stands_among_others_in_a_form(site: Site, earlier: str) -> None:
    body = image(b"a.png") + field(b"image_job", f"{earlier}/1".encode()) + field(b"image_job", b"") + image(b"b.png")
    response = site.post("/queue/submit", data=body + END, headers=MULTIPART)
    assert pictures(site, response) == [("a.png", PICTURE), ("cup.png", OTHER), ("b.png", PICTURE)]


@pytest.mark.parametrize("several", [False, True])
def test_it_stands_in_json(site: Site, earlier: str, several: bool) -> None:
    named: Any = [f"{earlier}/1", f"{earlier}/0"] if several else f"{earlier}/1"
    response = site.post("/queue/submit", json={"image_job": named})
    assert pictures(site, response) == [("cup.png", OTHER), ("cat.png", PICTURE)][: 1 + several]


def test_the_bytes_are_there_once(site: Site, earlier: str, storage: LocalStorage) -> None:
    job_id = site.post("/queue/submit", params={"image_job": f"{earlier}/0"}).json()["job_id"]
    first, second = (storage.root / f"uploads/{each}/0" for each in (earlier, job_id))
    assert os.path.samefile(first, second)


def test_it_outlives_the_job_it_comes_from(site: Site, clock: Clock, storage: LocalStorage) -> None:
    earlier = job_in(site.queue, JobStatus.COMPLETED)
    clock.advance(days=6)
    job_id = site.post("/queue/submit", params={"image_job": f"{earlier}/0"}).json()["job_id"]
    clock.advance(days=2)
    assert site.queue.cleanup_old_jobs() == 1
    assert storage.get(f"uploads/{job_id}/0") == PICTURE


def test_the_same_submit_again_makes_no_second_job(site: Site, earlier: str) -> None:
    headers = {"Idempotency-Key": f"again-{earlier}"}
    before = len(stored(site.queue.storage))
    answers = [
        site.post("/queue/submit", params={"image_job": f"{earlier}/{index}"}, headers=headers) for index in (0, 0, 1)
    ]
    assert [response.status_code for response in answers] == [202, 202, 422]
    assert answers[0].json()["job_id"] == answers[1].json()["job_id"]
    assert answers[1].headers["Idempotent-Replayed"] == "true"
    problem(answers[2], 422, "idempotency_key_reused")
    assert len(stored(site.queue.storage)) == before + 1


# --- when there is none -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/queue/submit", "/remove"])
def test_what_is_not_there_is_named_and_nothing_is_kept(
    site: Site, clock: Clock, storage: LocalStorage, path: str
) -> None:
    gone = job_in(site.queue, JobStatus.COMPLETED)
    clock.advance(days=8)
    site.queue.cleanup_old_jobs()
    cancelled, whole = job_in(site.queue, JobStatus.CANCELLED), job_in(site.queue, JobStatus.COMPLETED)
    before = stored(storage)

    def told(named: str, status: int, code: str) -> str:
        detail: str = problem(site.post(path, params={"image_job": named}), status, code)["detail"]
        return detail

    assert "nobody" in told("nobody/0", 404, "job_not_found")
    assert gone in told(f"{gone}/0", 410, "job_expired")
    assert "there is no 1" in told(f"{whole}/1", 404, "result_not_found")
    sentence = f"The picture of file 0 of job {cancelled} is not kept any more: send it again."
    assert told(f"{cancelled}/0", 410, "blob_missing") == sentence
    assert stored(storage) == before


def test_one_that_is_missing_refuses_all_of_them(site: Site, earlier: str, storage: LocalStorage) -> None:
    before = stored(storage)
    body = image(b"a.png") + field(b"image_job", f"{earlier}/0".encode()) + field(b"image_job", f"{earlier}/2".encode())
    response = site.post("/queue/submit?on_invalid=skip", data=body + END, headers=MULTIPART)
    problem(response, 404, "result_not_found")
    assert stored(storage) == before


@pytest.mark.parametrize(
    "text", ["x", "x/", "/0", "x/-1", "x/0/1", "x/0 ", "x/٣", "../x/0", "x" * 65 + "/0", "x/9999999999"]
)
def test_what_names_no_picture_is_refused(site: Site, text: str) -> None:
    told = problem(site.post("/queue/submit", params={"image_job": text}), 422, "invalid_request")
    assert told["parameter"] == "image_job"


def test_one_picture_at_once_takes_one(site: Site, earlier: str) -> None:
    response = site.post("/remove", params={"image_job": [f"{earlier}/0", f"{earlier}/1"]})
    problem(response, 413, "too_many_files")


# --- the whole way ----------------------------------------------------------------------------------------------


def test_a_background_is_put_behind_it_at_full_size(service: Service, tmp_path: Path) -> None:
    """What a page does that showed it live in small before."""
    job_id = service.submit([("cup.jpg", SAMPLES[2].read_bytes())])
    service.wait_for(job_id)
    cutout = Image.open(BytesIO(requests.get(f"{service.url}/queue/job/{job_id}/result", timeout=10).content))
    query = {"image_job": f"{job_id}/0", "model": "u2netp", "background_color": "#1ec828", "format": "png"}
    composed = Image.open(BytesIO(requests.post(f"{service.url}/remove", params=query, timeout=60).content))
    behind = Image.new("RGBA", cutout.size, (0x1E, 0xC8, 0x28, 255))
    wanted = np.asarray(Image.alpha_composite(behind, cutout), int)
    assert np.abs(np.asarray(composed.convert("RGBA"), int) - wanted).max() <= 1
