"""Pictures that belong to a whole job: taken with it, kept as long as it, gone with it."""

import base64
import hashlib
from datetime import timedelta

import pytest
import requests

from tests.queues import PICTURE, Clock, claim, fail, finish, stored
from tests.web.shapes import problem
from tests.web.site import Site
from web.json_body import LONG_TEXT_BYTES

Part = tuple[str, tuple[str, bytes]]

CAT = ("images", ("cat.png", PICTURE))
BACKGROUND = ("background_image", ("beach.png", PICTURE))


def submit(site: Site, *parts: Part, query: str = "", **fields: str) -> requests.Response:
    return site.post(f"/queue/submit{query}", files=parts, data=fields)


def assert_nothing_is_stored(site: Site) -> None:
    assert stored(site.queue.storage) == []
    assert site.queue.get_job_stats()["total"] == 0


@pytest.mark.parametrize("parts", [(CAT, CAT, BACKGROUND), (BACKGROUND, CAT, CAT)])
def test_a_background_is_kept_once_for_all_pictures(site: Site, parts: tuple[Part, ...]) -> None:
    job_id = submit(site, *parts).json()["job_id"]
    folder = f"uploads/{job_id}"
    assert stored(site.queue.storage) == [f"{folder}/0", f"{folder}/1", f"{folder}/background_image"]
    leases = claim(site.queue)
    assert len(leases) == 2
    for lease in leases:
        assert lease.file.params["background_image"] == hashlib.sha256(PICTURE).hexdigest()


def test_it_stays_for_a_retry_and_goes_with_the_job(site: Site, clock: Clock) -> None:
    job_id = submit(site, CAT, BACKGROUND).json()["job_id"]
    (lease,) = claim(site.queue)
    fail(site.queue, lease)
    clock.advance(days=2)
    assert site.queue.sweep_orphans(timedelta(0)) == 0
    site.queue.retry_job(job_id)
    (lease,) = claim(site.queue)
    finish(site.queue, lease)
    clock.advance(days=8)
    assert site.queue.cleanup_old_jobs() == 1
    assert stored(site.queue.storage) == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "The file is empty."),
        (b"no picture", "The file is not a picture."),
        (PICTURE[:20], "in the middle of its header"),
    ],
)
def test_one_that_is_no_picture_refuses_all(site: Site, content: bytes, reason: str) -> None:
    broken = ("background_image", ("beach.png", content))
    told = problem(submit(site, CAT, broken, query="?on_invalid=skip"), 422, "invalid_attachment")
    assert told["detail"].startswith("background_image: ")
    assert reason in told["detail"]
    assert_nothing_is_stored(site)


@pytest.mark.parametrize("left_empty", ["background_image", "images"])
def test_a_field_in_which_no_file_was_chosen_is_none(site: Site, left_empty: str) -> None:
    job_id = submit(site, (left_empty, ("", b"")), CAT).json()["job_id"]
    assert stored(site.queue.storage) == [f"uploads/{job_id}/0"]
    problem(submit(site, (left_empty, ("", b""))), 422, "no_files")


def test_two_of_them_are_refused(site: Site) -> None:
    told = problem(submit(site, CAT, BACKGROUND, BACKGROUND), 422, "invalid_attachment")
    assert told["detail"] == "background_image came more than once."
    assert_nothing_is_stored(site)


@pytest.mark.parametrize("where", ["query", "form"])
def test_one_that_is_no_file_is_refused(site: Site, where: str) -> None:
    query, fields = ("?background_image=beach.png", {}) if where == "query" else ("", {"background_image": "beach.png"})
    told = problem(submit(site, CAT, query=query, **fields), 422, "invalid_request")
    assert told["detail"] == (
        "background_image is a file: send it as a part with a file name, its address as background_image_url, "
        "or in JSON as background_image_b64."
    )
    assert_nothing_is_stored(site)


LARGE = PICTURE.ljust(LONG_TEXT_BYTES * 2, b"\xff")


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


@pytest.mark.parametrize("path", ["/queue/submit", "/remove?wait=0"])
@pytest.mark.parametrize("content", [PICTURE, LARGE], ids=["short", "long"])
def test_in_json_it_comes_in_base64(site: Site, path: str, content: bytes) -> None:
    body = {"background_image_b64": f"data:image/png;base64,{encoded(content)}", "image_b64": encoded(PICTURE)}
    job_id = site.post(path, json=body).json()["job_id"]
    assert site.queue.storage.get(f"uploads/{job_id}/background_image") == content
    assert site.queue.storage.get(f"uploads/{job_id}/0") == PICTURE
    assert len(stored(site.queue.storage)) == 2
    (lease,) = claim(site.queue)
    assert lease.file.params["background_image"] == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    ("background", "code", "reason"),
    [
        ({"background_image_b64": "?"}, "invalid_attachment", "no base64"),
        ({"background_image_b64": encoded(b"no picture")}, "invalid_attachment", "not a picture"),
        ({"background_image_b64": [encoded(PICTURE)]}, "invalid_request", "wants a text"),
        ({"background_image": encoded(PICTURE)}, "invalid_request", "in JSON as background_image_b64"),
        ({"background_image": encoded(LARGE)}, "invalid_request", "in JSON as background_image_b64"),
        (
            {"background_image_b64": encoded(PICTURE), "background_image_url": "http://10.0.0.1/a.png"},
            "invalid_attachment",
            "more than once",
        ),
        (
            {"background_image_b64": encoded(PICTURE), "background_color": "red"},
            "several_backgrounds",
            "one background",
        ),
    ],
    ids=str,
)
def test_what_is_wrong_in_json_is_refused(site: Site, background: dict[str, str], code: str, reason: str) -> None:
    told = problem(site.post("/queue/submit", json={"image_b64": encoded(PICTURE), **background}), 422, code)
    assert reason in told["detail"]
    assert_nothing_is_stored(site)


def test_an_empty_or_missing_one_is_none(site: Site) -> None:
    for nothing in ("", None):
        body = {"image_b64": encoded(PICTURE), "background_image_b64": nothing}
        assert site.post("/queue/submit", json=body).status_code == 202
    assert all("background_image" not in lease.file.params for lease in claim(site.queue))


def test_it_does_not_stand_beside_another_background(site: Site) -> None:
    told = problem(submit(site, CAT, BACKGROUND, query="?background_color=red"), 422, "several_backgrounds")
    assert "only one background" in told["detail"]
    assert_nothing_is_stored(site)


def test_a_background_alone_is_no_job(site: Site) -> None:
    problem(submit(site, BACKGROUND), 422, "no_files")
    assert_nothing_is_stored(site)


def test_another_background_is_another_request(site: Site) -> None:
    def send(*parts: Part) -> requests.Response:
        return site.post("/queue/submit", files=parts, headers={"Idempotency-Key": "k"})

    first = send(CAT, BACKGROUND).json()["job_id"]
    assert send(CAT, BACKGROUND).json()["job_id"] == first
    problem(send(CAT), 422, "idempotency_key_reused")
