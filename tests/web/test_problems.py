"""Errors as answers: every one has a status, is a sentence, and tells nothing of the host."""

import json
from collections.abc import Iterator
from http import HTTPStatus

import pytest
from sqlalchemy import text

import errors
from storage.local import LocalStorage
from tests.queues import PICTURE, stored, submit
from tests.web.shapes import problem
from tests.web.site import Site
from web.problems import STATUS, problem_of, status_of


def kinds(of: type[errors.ServiceError] = errors.ServiceError) -> Iterator[type[errors.ServiceError]]:
    for kind in of.__subclasses__():
        yield kind
        yield from kinds(kind)


def test_codes_are_stable_and_no_two_errors_share_one() -> None:
    each_its_own = (errors.PictureError, errors.FailedPicture)
    codes = [kind.code for kind in kinds() if not issubclass(kind, each_its_own)]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.NoFiles("x"), 422),
        (errors.InvalidFiles([]), 422),
        (errors.UnknownModel("x"), 422),
        (errors.ModelNotUsable("x"), 422),
        (errors.MalformedUpload("x"), 400),
        (errors.TooManyFiles("x"), 413),
        (errors.RequestTooLarge("x"), 413),
        (errors.JobNotFound("x"), 404),
        (errors.ResultNotFound("x"), 404),
        (errors.JobExpired("x"), 410),
        (errors.BlobMissing("x"), 410),
        (errors.JobNotFinished("x"), 409),
        (errors.ResultUnavailable("x"), 409),
        (errors.IllegalTransition("x"), 409),
        (errors.Unauthorized("x"), 401),
        (errors.ForeignOrigin("x"), 403),
        (errors.DatabaseError("x"), 503),
        (errors.DatabaseTooNew("x"), 503),
        (errors.StorageError("x"), 503),
        (errors.WorkerUnavailable("x"), 503),
        (errors.LeaseLost("x"), 500),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else f"{value}",
)
def test_each_error_has_the_status_of_its_nearest_kind(error: errors.ServiceError, status: int) -> None:
    assert status_of(error) == status


@pytest.mark.parametrize(
    ("joinable", "next_step"), [(True, "Send the same request again"), (False, "/queue/job/7/result")]
)
def test_a_late_picture_is_told_with_what_happens_next(joinable: bool, next_step: str) -> None:
    answer = problem_of(errors.NotInTime("7", joinable))
    told = json.loads(bytes(answer.body))
    assert next_step in told["detail"]
    assert told["job_id"] == answer.headers["X-Job-Id"] == "7"


def test_no_status_is_given_to_what_is_no_error_of_ours() -> None:
    assert set(STATUS) <= {errors.ServiceError, *kinds()}
    assert STATUS[errors.ServiceError] is HTTPStatus.INTERNAL_SERVER_ERROR


@pytest.mark.parametrize("path", ["/nothing", "/queue", "/queue/nothing", "/Queue/stats", "/queue/job/a/b/c"])
def test_an_unknown_address_is_a_problem_that_points_to_the_documentation(site: Site, path: str) -> None:
    told = problem(site.get(path), 404, "not_found")
    assert path in told["detail"]
    assert "/docs" in told["detail"]


def test_a_wrong_method_is_a_problem_that_names_the_right_one(site: Site) -> None:
    response = site.get("/queue/submit")
    told = problem(response, 405, "method_not_allowed")
    assert "GET" in told["detail"]
    assert response.headers["Allow"] == "POST"


def assert_tells_nothing_of_the_host(response_text: str, storage: LocalStorage) -> None:
    for secret in (
        str(storage.root),
        "/tmp",
        "SELECT",
        "INSERT",
        "sqlite",
        "table",
        "directory",
        "Traceback",
        "NoneType",
    ):
        assert secret not in response_text


def test_trouble_with_the_database_is_503_and_says_when_to_try_again(site: Site, storage: LocalStorage) -> None:
    job_id = submit(site.queue)
    with site.queue.database.write() as connection:
        connection.execute(text("ALTER TABLE jobs RENAME TO lost"))
    for response in (
        site.get(f"/queue/job/{job_id}"),
        site.get("/queue/jobs"),
        site.post(f"/queue/job/{job_id}/cancel"),
        site.submit([("cat.png", PICTURE)]),
    ):
        problem(response, 503, "database_error")
        assert int(response.headers["Retry-After"]) > 0
        assert_tells_nothing_of_the_host(response.text, storage)
    assert len(stored(storage)) == 1


def test_trouble_with_storage_is_503_and_stores_nothing(site: Site, storage: LocalStorage) -> None:
    storage.root.mkdir()
    (storage.root / "uploads").write_bytes(b"a file where a folder should be")
    response = site.submit([("cat.png", PICTURE)])
    problem(response, 503, "storage_error")
    assert int(response.headers["Retry-After"]) > 0
    assert_tells_nothing_of_the_host(response.text, storage)
    assert site.queue.get_job_stats()["total"] == 0


def test_a_fault_of_our_own_is_500_and_tells_nothing(
    site: Site, storage: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site.app.state, "queue", None)
    response = site.get("/queue/stats")
    told = problem(response, 500, "internal_error")
    assert "log" in told["detail"]
    assert_tells_nothing_of_the_host(response.text, storage)


@pytest.mark.parametrize(("path", "methods"), [("/api/remove", "GET, POST"), ("/v1.0/removebg", "POST")])
def test_a_wrong_method_is_told_all_that_are_right(site: Site, path: str, methods: str) -> None:
    response = site.session.delete(site.url + path, timeout=10)
    assert (response.status_code, response.headers["Allow"]) == (405, methods)
