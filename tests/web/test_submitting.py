"""Submitting: what is taken, what is refused with which words, and that a refusal leaves nothing behind."""

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from models.catalog import ALIASES
from storage.local import LocalStorage
from tests.pictures import encode, ramp
from tests.queues import LIMITS, PICTURE, stored, submit
from tests.web.bodies import image, request
from tests.web.shapes import Submitted, answer, problem
from tests.web.site import Site, wait_until

CAT = ("cat.png", PICTURE)
LARGE = ("large.png", PICTURE.ljust(LIMITS.max_upload_bytes, b"\0"))


def assert_nothing_is_stored(site: Site) -> None:
    assert stored(site.queue.storage) == []
    assert site.queue.get_job_stats()["total"] == 0


# --- models -----------------------------------------------------------------------------------------------------


def test_the_model_is_u2net_when_none_is_named(site: Site) -> None:
    assert answer(site.submit([CAT]), 202, Submitted)["model"] == "u2net"


@pytest.mark.parametrize("where", ["query", "form"])
def test_a_model_is_named_in_the_query_or_in_the_form(site: Site, where: str) -> None:
    response = (
        site.submit([CAT], "?model=u2netp") if where == "query" else site.submit([CAT], model="u2netp")
    )  # fmt: skip
    told = answer(response, 202, Submitted)
    assert told["model"] == "u2netp"
    assert site.queue.job(told["job_id"]).model == "u2netp"


@pytest.mark.parametrize(("alias", "name"), ALIASES.items())
def test_answers_name_the_model_behind_an_alias(site: Site, alias: str, name: str) -> None:
    told = answer(site.submit([CAT], f"?model={alias}"), 202, Submitted)
    assert told["model"] == name
    assert site.get(f"/queue/job/{told['job_id']}").json()["model"] == name


def test_the_aliases_are_those_of_old_clients() -> None:
    assert ALIASES == {"siluette": "silueta", "isnet-general": "isnet-general-use"}


def test_an_unknown_model_is_refused_and_a_close_one_suggested(site: Site) -> None:
    told = problem(site.submit([CAT], "?model=u2nett"), 422, "unknown_model")
    assert "'u2nett'" in told["detail"]
    assert "Did you mean u2net" in told["detail"]
    assert_nothing_is_stored(site)


@pytest.mark.parametrize("model", ["withoutbg", "u2net_custom"])
def test_a_model_that_cannot_be_used_here_is_refused(site: Site, model: str) -> None:
    told = problem(site.submit([CAT], f"?model={model}"), 422, "model_not_usable")
    assert str(site.app.state.weights.home) not in told["detail"]
    assert_nothing_is_stored(site)


@pytest.mark.parametrize("model", ["../../etc/passwd", "x" * 5000, "<script>", "u2net%00"])
def test_strange_model_names_are_only_unknown(site: Site, model: str) -> None:
    told = problem(site.submit([CAT], f"?model={model}"), 422, "unknown_model")
    assert len(told["detail"]) < 400
    assert_nothing_is_stored(site)


# --- files ------------------------------------------------------------------------------------------------------


def test_files_keep_their_order_names_and_bytes(site: Site) -> None:
    pictures = [(f"{n}.png", encode(ramp(8 + n, 8), "PNG")) for n in (3, 1, 2)]
    job_id = answer(site.submit(pictures), 202, Submitted)["job_id"]
    assert site.queue.job(job_id).filenames == ("3.png", "1.png", "2.png")
    kept = [site.queue.storage.get(f"uploads/{job_id}/{n}") for n in range(3)]
    assert kept == [content for _, content in pictures]


def test_the_answer_tells_the_place_in_the_queue(site: Site) -> None:
    submit(site.queue, "a.png", "b.png")
    told = site.submit([CAT]).json()
    assert told["position"] == 3
    assert site.get(f"/queue/job/{told['job_id']}").json()["position"] == 3


def test_every_bad_file_is_named_with_its_reason_and_nothing_is_stored(site: Site) -> None:
    files = [CAT, ("empty.jpg", b""), ("letter.png", b"Dear cat, " * 20), ("big.png", encode(ramp(1001, 1000), "PNG"))]
    told = problem(site.submit(files), 422, "invalid_files")
    assert [(file["index"], file["filename"], file["code"]) for file in told["rejected"]] == [
        (1, "empty.jpg", "empty_file"),
        (2, "letter.png", "not_a_picture"),
        (3, "big.png", "too_many_pixels"),
    ]
    for file in told["rejected"]:
        assert file["filename"] in told["detail"]
        assert file["reason"] in told["detail"]
    assert_nothing_is_stored(site)


@pytest.mark.parametrize("where", ["query", "form"])
def test_skip_takes_the_good_files_and_lists_the_others(site: Site, where: str) -> None:
    files = [("empty.jpg", b""), CAT, ("letter.png", b"Dear cat, " * 20)]
    response = (
        site.submit(files, "?on_invalid=skip") if where == "query" else site.submit(files, on_invalid="skip")
    )  # fmt: skip
    told = answer(response, 202, Submitted)
    assert (told["files_count"], told["job_type"]) == (1, "single")
    listed = response.json()["rejected"]
    assert [(file["index"], file["filename"]) for file in listed] == [(0, "empty.jpg"), (2, "letter.png")]
    assert site.queue.job(told["job_id"]).filenames == ("cat.png",)
    assert stored(site.queue.storage) == [f"uploads/{told['job_id']}/1"]


def test_skip_still_refuses_when_no_file_is_good(site: Site) -> None:
    told = problem(site.submit([("empty.jpg", b"")], "?on_invalid=skip"), 422, "invalid_files")
    assert len(told["rejected"]) == 1
    assert_nothing_is_stored(site)


def test_a_job_without_rejected_files_lists_none(site: Site) -> None:
    assert site.submit([CAT]).json()["rejected"] == []


@pytest.mark.parametrize("where", ["query", "form"])
def test_on_invalid_is_reject_or_skip(site: Site, where: str) -> None:
    response = (
        site.submit([CAT], "?on_invalid=maybe") if where == "query" else site.submit([CAT], on_invalid="maybe")
    )  # fmt: skip
    told = problem(response, 422, "invalid_request")
    assert "on_invalid" in told["detail"]
    assert "skip" in told["detail"]
    assert_nothing_is_stored(site)


def test_a_request_without_files_is_refused_with_what_to_do(site: Site) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nu2netp\r\n--b--\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    told = problem(site.post("/queue/submit", data=body, headers=headers), 422, "no_files")
    assert "'images'" in told["detail"]
    assert_nothing_is_stored(site)


# --- limits -----------------------------------------------------------------------------------------------------


def test_one_file_too_many_is_refused(site: Site) -> None:
    told = problem(site.submit([CAT] * (LIMITS.max_files_per_job + 1)), 413, "too_many_files")
    assert f"at most {LIMITS.max_files_per_job} files" in told["detail"]
    assert_nothing_is_stored(site)


def test_as_many_files_as_allowed_are_taken(site: Site) -> None:
    told = answer(site.submit([CAT] * LIMITS.max_files_per_job), 202, Submitted)
    assert told["files_count"] == LIMITS.max_files_per_job


def test_a_file_that_is_too_large_is_named(site: Site) -> None:
    told = problem(site.submit([CAT, (LARGE[0], LARGE[1] + b"\0")]), 422, "invalid_files")
    assert [(file["index"], file["code"]) for file in told["rejected"]] == [(1, "file_too_large")]
    assert_nothing_is_stored(site)


def test_a_request_that_is_too_large_is_refused(site: Site) -> None:
    told = problem(site.submit([LARGE] * 3), 413, "request_too_large")
    assert "0.1562 MiB" in told["detail"]
    assert_nothing_is_stored(site)


def test_after_a_refusal_the_same_connection_goes_on(site: Site) -> None:
    with requests.Session() as session:
        session.trust_env = False
        for _ in range(3):
            refused = session.post(f"{site.url}/queue/submit", files=[("images", LARGE)] * 3, timeout=10)
            assert refused.status_code == 413
            taken = session.post(f"{site.url}/queue/submit", files=[("images", CAT)], timeout=10)
            assert taken.status_code == 202


@pytest.fixture
def generous(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of megabytes are welcome."""
    monkeypatch.setattr(site.queue, "limits", replace(LIMITS, max_upload_bytes=2**23, max_request_bytes=2**25))


@pytest.mark.usefixtures("generous")
def test_uploads_never_touch_the_temporary_folder(site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    # Far beyond what form parsers keep in memory.
    told = answer(site.submit([("large.png", PICTURE.ljust(2**22, b"\0"))] * 2), 202, Submitted)
    assert told["files_count"] == 2


@pytest.mark.usefixtures("generous")
def test_a_large_file_goes_to_storage_while_it_is_still_coming(site: Site, storage: LocalStorage) -> None:
    begun = image(content=PICTURE.ljust(2**21, b"\0"))

    def on_disk() -> int:
        return sum(path.stat().st_size for path in storage.root.rglob("*.part"))

    with site.connection() as connection:
        connection.sendall(request(begun[:-2], {"Content-Length": f"{2**23}"}))
        wait_until(lambda: on_disk() > 2**20)
    wait_until(lambda: stored(storage) == [])
