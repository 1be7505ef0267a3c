"""Results on their way out: the right bytes under the right name, and why there are none."""

import hashlib
import io
import json
import re
import zipfile
from urllib.parse import unquote

import pytest
import requests

from job import JobStatus
from storage.local import LocalStorage
from tests.pictures import encode, ramp
from tests.queues import CUTOUT, PICTURE, Clock, claim, fail, finish, job_in, stored, submit
from tests.web.shapes import problem
from tests.web.site import Site
from web.results import content_disposition

ETAG = f'"{hashlib.sha256(CUTOUT).hexdigest()}"'
OTHER = encode(ramp(10, 10), "PNG")


def finished(site: Site, *names: str) -> str:
    return job_in(site.queue, JobStatus.COMPLETED, *names)


# --- why there is none ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["", "/result", "/result/0"])
def test_an_unknown_job_is_404(site: Site, path: str) -> None:
    told = problem(site.get(f"/queue/job/nobody{path}"), 404, "job_not_found")
    assert "nobody" in told["detail"]


@pytest.mark.parametrize("path", ["", "/result", "/result/0"])
def test_an_expired_job_is_410_and_says_since_when(site: Site, clock: Clock, path: str) -> None:
    job_id = finished(site)
    clock.advance(days=8)
    site.queue.cleanup_old_jobs(days=7)
    told = problem(site.get(f"/queue/job/{job_id}{path}"), 410, "job_expired")
    assert "expired" in told["detail"]
    assert "2026-11-09T12:00:00" in told["detail"]


def test_cancelling_an_expired_job_is_410(site: Site, clock: Clock) -> None:
    job_id = finished(site)
    clock.advance(days=8)
    site.queue.cleanup_old_jobs(days=7)
    problem(site.post(f"/queue/job/{job_id}/cancel"), 410, "job_expired")


@pytest.mark.parametrize("names", [("a.png",), ("a.png", "b.png")], ids=["single", "batch"])
@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (JobStatus.PENDING, "job_not_finished", "pending"),
        (JobStatus.PROCESSING, "job_not_finished", "processing"),
        (JobStatus.FAILED, "result_unavailable", "The picture is damaged."),
        (JobStatus.CANCELLED, "result_unavailable", "cancelled"),
    ],
)
def test_a_job_without_a_result_is_409_and_says_why(
    site: Site, status: JobStatus, code: str, words: str, names: tuple[str, ...]
) -> None:
    job_id = job_in(site.queue, status, *names)
    for path in ("result", "result/0"):
        assert words in problem(site.get(f"/queue/job/{job_id}/{path}"), 409, code)["detail"]


@pytest.mark.parametrize("index", ["1", "-1", "99999999999999999999999"])
def test_a_file_that_the_job_does_not_have_is_404(site: Site, index: str) -> None:
    job_id = finished(site)
    told = problem(site.get(f"/queue/job/{job_id}/result/{index}"), 404, "result_not_found")
    assert index in told["detail"]


@pytest.mark.parametrize("index", ["first", "1.5", "%00"])
def test_a_file_is_named_by_a_whole_number(site: Site, index: str) -> None:
    problem(site.get(f"/queue/job/{finished(site)}/result/{index}"), 422, "invalid_request")


def test_bytes_that_are_gone_are_410_and_name_no_path(site: Site, storage: LocalStorage) -> None:
    job_id = finished(site)
    storage.delete(next(key for key in stored(storage) if key.startswith("results/")))
    told = problem(site.get(f"/queue/job/{job_id}/result"), 410, "blob_missing")
    assert str(storage.root) not in told["detail"]


# --- one picture ------------------------------------------------------------------------------------------------


def test_a_picture_comes_whole_with_its_length_and_type(site: Site) -> None:
    response = site.get(f"/queue/job/{finished(site)}/result")
    assert response.content == CUTOUT
    assert response.headers["Content-Length"] == f"{len(CUTOUT)}"
    assert response.headers["Content-Type"] == "image/png"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "private" in response.headers["Cache-Control"]


def test_a_file_of_a_batch_is_there_before_the_others(site: Site) -> None:
    job_id = submit(site.queue, "a.png", "b.png")
    _, second = claim(site.queue)
    finish(site.queue, second)
    assert site.get(f"/queue/job/{job_id}/result/1").content == CUTOUT
    problem(site.get(f"/queue/job/{job_id}/result/0"), 409, "job_not_finished")


@pytest.mark.parametrize("known", [ETAG, f"W/{ETAG}", f'"other", {ETAG}', "*"])
def test_a_client_that_has_the_picture_is_told_so_without_it(site: Site, known: str) -> None:
    path = f"/queue/job/{finished(site)}/result"
    assert site.get(path).headers["ETag"] == ETAG
    response = site.get(path, headers={"If-None-Match": known})
    assert (response.status_code, response.content, response.headers["ETag"]) == (304, b"", ETAG)


@pytest.mark.parametrize("known", ['"other"', ETAG.strip('"'), ""])
def test_a_client_that_has_another_picture_gets_this_one(site: Site, known: str) -> None:
    response = site.get(f"/queue/job/{finished(site)}/result", headers={"If-None-Match": known})
    assert (response.status_code, response.content) == (200, CUTOUT)


NAMES = {
    "cat.jpg": "cat.png",
    "no extension": "no extension.png",
    "猫 und Ünï 😀.heic": "猫 und Ünï 😀.png",
    'he said "hi".jpg': 'he said "hi".png',
    "a\r\nSet-Cookie: x=1.jpg": "aSet-Cookie: x=1.png",
    "../../etc/passwd.jpg": "passwd.png",
    "C:\\photos\\me.jpg": "me.png",
    "semi;colon=, 100%.jpg": "semi;colon=, 100%.png",
    "it's.jpg": "it's.png",
    "right\u202eto left.jpg": "rightto left.png",
    "x" * 300 + ".jpg": "x" * 196 + ".png",
}


@pytest.mark.parametrize(("sent", "expected"), NAMES.items(), ids=ascii)
def test_a_result_has_the_name_of_its_picture_whatever_that_is(site: Site, sent: str, expected: str) -> None:
    response = site.get(f"/queue/job/{finished(site, sent)}/result")
    told = response.headers["Content-Disposition"]
    assert re.fullmatch(r"[ -~]+", told)
    parts = re.fullmatch(r"inline; filename=\"([^\"\\]*)\"; filename\*=UTF-8''([A-Za-z0-9.%_~-]+)", told)
    assert parts is not None, told
    assert unquote(parts[2], errors="strict") == expected
    assert len(parts[1]) == len(expected)
    assert "Set-Cookie" not in response.headers


# --- a batch ----------------------------------------------------------------------------------------------------


def unzipped(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert len(names) == len(set(names))
        return {name: archive.read(name) for name in names}


def test_a_batch_comes_as_a_zip_of_known_length(site: Site) -> None:
    job_id = finished(site, "a.jpg", "b.jpg")
    response = site.get(f"/queue/job/{job_id}/result")
    assert response.headers["Content-Type"] == "application/zip"
    assert response.headers["Content-Length"] == f"{len(response.content)}"
    told = response.headers["Content-Disposition"]
    assert told == f"attachment; filename=\"{job_id}.zip\"; filename*=UTF-8''{job_id}.zip"
    files = unzipped(response.content)
    assert (files["a.png"], files["b.png"]) == (CUTOUT, CUTOUT)


def test_equal_names_are_numbered_also_those_that_differ_in_case(site: Site) -> None:
    job_id = finished(site, "cat.jpg", "Cat.png", "cat (2).jpg", "cat.heic", "manifest.json")
    response = site.get(f"/queue/job/{job_id}/result")
    names = list(unzipped(response.content))
    assert names == ["cat.png", "Cat (2).png", "cat (2) (2).png", "cat (3).png", "manifest.png", "manifest.json"]
    assert len({name.lower() for name in names}) == 6


@pytest.mark.parametrize("name", ["猫 😀.jpg", "../../etc/passwd.jpg", "C:\\photos\\me.jpg", '"quoted".jpg'])
def test_names_in_a_zip_are_harmless_and_kept_where_they_can_be(site: Site, name: str) -> None:
    job_id = finished(site, name, "other.jpg")
    (first, *_) = unzipped(site.get(f"/queue/job/{job_id}/result").content)
    assert first == NAMES.get(name, name.replace(".jpg", ".png"))
    assert "/" not in first
    assert "\\" not in first


def test_the_manifest_tells_of_every_file(site: Site) -> None:
    job_id = submit(site.queue, "猫.jpg", "bad.jpg", "猫.png")
    first, second, third = claim(site.queue)
    finish(site.queue, first)
    fail(site.queue, second, "It is damaged.")
    finish(site.queue, third, OTHER)
    files = unzipped(site.get(f"/queue/job/{job_id}/result").content)
    manifest = json.loads(files.pop("manifest.json"))
    assert files == {"猫.png": CUTOUT, "猫 (2).png": OTHER}
    assert (manifest["job_id"], manifest["model"]) == (job_id, "u2netp")
    assert [
        (file["index"], file["filename"], file["status"], file["name_in_archive"], file["error"])
        for file in manifest["files"]
    ] == [
        (0, "猫.jpg", "completed", "猫.png", None),
        (1, "bad.jpg", "failed", None, "It is damaged."),
        (2, "猫.png", "completed", "猫 (2).png", None),
    ]
    assert manifest["files"][2]["sha256"] == hashlib.sha256(OTHER).hexdigest()


def test_a_cancelled_batch_hands_out_what_had_finished(site: Site) -> None:
    job_id = submit(site.queue, "a.jpg", "b.jpg")
    (first,) = claim(site.queue, 1)
    finish(site.queue, first)
    site.queue.cancel_job(job_id, force=True)
    assert list(unzipped(site.get(f"/queue/job/{job_id}/result").content)) == ["a.png", "manifest.json"]


def test_a_client_that_has_the_zip_is_told_so_without_it(site: Site) -> None:
    path = f"/queue/job/{finished(site, 'a.jpg', 'b.jpg')}/result"
    etag = site.get(path).headers["ETag"]
    assert re.fullmatch(r'W/"[0-9a-f]{64}"', etag)
    response = site.get(path, headers={"If-None-Match": etag})
    assert (response.status_code, response.content) == (304, b"")
    other = f"/queue/job/{finished(site, 'a.jpg', 'b.jpg')}/result"
    assert site.get(other, headers={"If-None-Match": etag}).status_code == 200


def test_a_zip_whose_bytes_are_gone_is_410_and_not_half_a_zip(site: Site, storage: LocalStorage) -> None:
    job_id = finished(site, "a.png", "b.png")
    storage.delete(next(key for key in stored(storage) if key.startswith(f"results/{job_id}/1-")))
    problem(site.get(f"/queue/job/{job_id}/result"), 410, "blob_missing")


def test_the_picture_that_was_given_comes_back_as_it_came(site: Site) -> None:
    job_id = submit(site.queue, "häschen.png")
    path = f"/queue/job/{job_id}/input/0"
    for _ in ("waiting", "finished"):
        given = site.get(path)
        assert (given.status_code, given.content, given.headers["Content-Type"]) == (200, PICTURE, "image/png")
        assert content_disposition("inline", "häschen.png") == given.headers["Content-Disposition"]
        # It may be anything that begins like a picture: nothing in it may run.
        assert given.headers["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in given.headers["Content-Security-Policy"]
        assert site.get(path, headers={"If-None-Match": given.headers["ETag"]}).status_code == 304
        for lease in claim(site.queue):
            finish(site.queue, lease)
    problem(site.get(f"/queue/job/{job_id}/input/1"), 404, "result_not_found")
    cancelled = submit(site.queue)
    site.queue.cancel_job(cancelled)
    for known in ({}, {"If-None-Match": "*"}):
        problem(site.get(f"/queue/job/{cancelled}/input/0", headers=known), 410, "blob_missing")


def test_head_tells_what_get_would(site: Site) -> None:
    job_id = finished(site)
    told = requests.head(f"{site.url}/queue/job/{job_id}/result", timeout=10)
    assert (told.status_code, told.content, told.headers["ETag"]) == (200, b"", ETAG)
    assert requests.head(f"{site.url}/health", timeout=10).status_code == 200
    assert requests.head(f"{site.url}/queue/submit", timeout=10).status_code == 405


def test_a_list_leaves_out_long_results(site: Site) -> None:
    finished(site, "a.png", "b.png")
    assert [job.results for job in site.queue.list_jobs(None, 10).jobs] == [None]
