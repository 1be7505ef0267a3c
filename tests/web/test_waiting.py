"""Answers that wait for the end of a job: `POST /remove`, and `Prefer: wait` on a submit."""

import base64
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from starlette.datastructures import Headers

from database.engine import Database
from errors import FileTimeout, HostDied
from job import JobStatus
from queue_manager import QueueManager
from settings import Settings
from tests.queues import CUTOUT, LIMITS, PICTURE, Clock, claim, fail, finish, stored
from tests.web.bodies import END, part, request
from tests.web.shapes import JobShape, Submitted, answer, problem
from tests.web.site import Site, serving, wait_until
from tests.web.waiters import claimed
from web import waiting


@pytest.fixture
def clients() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(60) as pool:
        yield pool


@pytest.fixture(scope="module")
def impatient_site() -> Iterator[Site]:
    with serving(Settings(max_wait_seconds=0.3, api_token=None)) as site:
        yield site


@pytest.fixture
def impatient(impatient_site: Site, queue: QueueManager) -> Site:
    """Nobody waits for more than 0.3 s."""
    impatient_site.hold(queue)
    return impatient_site


def remove(site: Site, field: str = "image", **options: object) -> requests.Response:
    # A session is not for several threads.
    files = {field: ("cat.jpg", PICTURE)}
    return requests.post(f"{site.url}/remove", files=files, timeout=30, **options)  # type: ignore[arg-type]


def submit(site: Site, prefer: str, files: int = 1) -> requests.Response:
    parts = [("images", (f"{number}.png", PICTURE)) for number in range(files)]
    return requests.post(f"{site.url}/queue/submit", files=parts, headers={"Prefer": prefer}, timeout=30)


# --- one picture in, its cutout out -------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["image", "file", "images"])
def test_the_answer_is_the_picture(site: Site, clients: ThreadPoolExecutor, field: str) -> None:
    asked = clients.submit(remove, site, field)
    (lease,) = claimed(site)
    finish(site.queue, lease)
    got = asked.result()
    assert (got.status_code, got.content) == (200, CUTOUT), got.text
    assert got.headers["Content-Type"] == "image/png"
    assert 'filename="cat.png"' in got.headers["Content-Disposition"]
    same = site.get(f"/queue/job/{got.headers['X-Job-Id']}/result")
    assert (same.content, same.headers["ETag"]) == (got.content, got.headers["ETag"])


def test_the_body_may_be_the_picture_itself(site: Site, clients: ThreadPoolExecutor) -> None:
    headers = {"Content-Type": "image/jpeg"}
    asked = clients.submit(requests.post, f"{site.url}/remove", data=PICTURE, headers=headers, timeout=30)
    (lease,) = claimed(site)
    assert site.queue.storage.get(lease.file.input_key) == PICTURE
    finish(site.queue, lease)
    assert asked.result().content == CUTOUT


def test_it_goes_before_all_others_unless_it_says_otherwise(site: Site) -> None:
    site.submit([("normal.png", PICTURE)])
    for name, priority in (("low.png", {"priority": "low"}), ("high.png", {})):
        site.post("/remove?wait=0", files={"image": (name, PICTURE)}, data=priority)
    assert [lease.file.filename for lease in claim(site.queue)] == ["high.png", "normal.png", "low.png"]


def test_what_takes_longer_becomes_a_job(site: Site) -> None:
    got = site.post("/remove?wait=0.1", files={"image": ("cat.jpg", PICTURE)})
    told = answer(got, 202, Submitted)
    assert got.headers["X-Job-Id"] == told["job_id"]
    assert got.headers["Location"] == f"/queue/job/{told['job_id']}"
    assert site.queue.job(told["job_id"]).status is JobStatus.PENDING


@pytest.mark.parametrize(("code", "status"), [("broken_picture", 422), (FileTimeout.code, 500), (HostDied.code, 500)])
def test_a_picture_that_fails_is_told_with_its_reason(
    site: Site, clients: ThreadPoolExecutor, code: str, status: int
) -> None:
    asked = clients.submit(remove, site)
    (lease,) = claimed(site)
    site.queue.fail(lease, code, "It went wrong.")
    told = problem(asked.result(), status, code)
    assert (told["detail"], told["job_id"]) == ("It went wrong.", lease.file.job_id)


def test_a_job_that_somebody_else_cancels_is_told(site: Site, clients: ThreadPoolExecutor) -> None:
    asked = clients.submit(remove, site)
    (lease,) = claimed(site)
    site.queue.cancel_job(lease.file.job_id, force=True)
    problem(asked.result(), 409, "result_unavailable")


@pytest.mark.parametrize(
    ("files", "query", "status", "code"),
    [
        ([("image", ("a.txt", b"no picture"))], "", 422, "invalid_files"),
        ([("image", ("a.png", PICTURE)), ("image", ("b.png", PICTURE))], "", 413, "too_many_files"),
        ([("image", ("a.png", PICTURE)), ("file", ("b.png", PICTURE))], "", 413, "too_many_files"),
        ([("picture", ("a.png", PICTURE))], "", 400, "malformed_upload"),
        ([("image", ("a.png", PICTURE))], "?colour=red", 422, "invalid_request"),
        ([("image", ("a.png", PICTURE))], "?wait=-1", 422, "invalid_request"),
        ([("image", ("a.png", PICTURE))], "?wait=long", 422, "invalid_request"),
        ([("image", ("a.png", PICTURE))], "?model=none", 422, "unknown_model"),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_refused(
    site: Site, files: list[tuple[str, tuple[str, bytes]]], query: str, status: int, code: str
) -> None:
    problem(site.post(f"/remove{query}", files=files), status, code)
    assert site.queue.get_job_stats()["total"] == 0
    assert stored(site.queue.storage) == []


@pytest.mark.parametrize("how", ["form", "json"])
def test_a_wait_in_the_body_is_sent_to_the_query(site: Site, how: str) -> None:
    form = {"files": {"image": ("cat.png", PICTURE)}, "data": {"wait": "5"}}
    json = {"json": {"image_b64": base64.b64encode(PICTURE).decode(), "wait": 5}}
    told = problem(site.post("/remove", **(form if how == "form" else json)), 422, "invalid_request")
    assert "/remove?wait=10" in told["detail"]
    assert told["parameter"] == "wait"
    assert stored(site.queue.storage) == []


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (None, "without a Content-Type"),
        ("", "without a Content-Type"),
        ("application/x-www-form-urlencoded", "of the type application/x-www-form-urlencoded"),
        ("text/plain; charset=x", "of the type text/plain is"),
        ("multipart/form-data", "without its boundary"),
        ("x" * 5000, "x" * 100 + " is"),
    ],
)
@pytest.mark.parametrize(
    ("path", "field"), [("/remove", "image"), ("/api/remove", "file"), ("/queue/submit", "images")]
)
def test_a_body_of_an_unknown_kind_is_told_what_to_send(
    site: Site, path: str, field: str, kind: str | None, said: str
) -> None:
    headers = {} if kind is None else {"Content-Type": kind}
    told = problem(site.post(path, data=PICTURE, headers=headers), 400, "malformed_upload")
    assert said in told["detail"]
    assert f"curl -F {field}=@photo.jpg" in told["detail"]
    assert ("curl --data-binary @photo.jpg -H 'Content-Type: image/jpeg'" in told["detail"]) == (field != "images")


def test_a_picture_that_pretends_to_be_a_form_is_told_what_to_send(site: Site) -> None:
    for picture in (PICTURE, b"GIF89a\x01\x00\x01\x00"):
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        got = site.post("/v1.0/removebg", data=picture, headers=headers)
        (told,) = got.json()["errors"]
        assert (got.status_code, "curl -F image_file=@photo.jpg" in told["detail"]) == (400, True)


def test_no_picture_at_all_is_refused(site: Site) -> None:
    told = problem(site.post("/remove", files={"model": (None, "u2net")}), 422, "no_files")
    assert "'image'" in told["detail"]
    problem(site.post("/remove", data=b"", headers={"Content-Type": "image/png"}), 422, "invalid_files")
    problem(site.post("/remove", json={}), 422, "no_files")
    problem(site.post("/remove", data={"image": "cat.png"}), 400, "malformed_upload")


def test_a_drop_in_that_is_late_tells_what_happens_next(impatient: Site) -> None:
    got = impatient.post("/api/remove", files={"file": ("cat.png", PICTURE)})
    told = problem(got, 503, "not_in_time")
    (job,) = impatient.queue.get_pending_jobs()
    assert job["id"] == told["job_id"] == got.headers["X-Job-Id"]
    assert str(job["id"]) in told["detail"]
    assert "Send the same request again" in told["detail"]
    assert got.headers["Retry-After"] == "5"


def test_so_does_the_other_one(impatient: Site) -> None:
    got = impatient.post("/v1.0/removebg", files={"image_file": ("cat.png", PICTURE)})
    (told,) = got.json()["errors"]
    (job,) = impatient.queue.get_pending_jobs()
    assert (got.status_code, told["code"], got.headers["X-Job-Id"]) == (503, "not_in_time", job["id"])
    assert "Send the same request again" in told["detail"]


# --- Prefer: wait -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefer", ["wait=20", "respond-async, Wait = 20; foo", 'handling=lenient, wait="20"'])
def test_a_submit_waits_for_its_job(site: Site, clients: ThreadPoolExecutor, prefer: str) -> None:
    asked = clients.submit(submit, site, prefer, 2)
    good, bad = claimed(site, 2)
    finish(site.queue, good)
    fail(site.queue, bad)
    told = answer(asked.result(), 200, JobShape)
    assert asked.result().headers["Preference-Applied"] == "wait"
    assert asked.result().headers["Location"] == f"/queue/job/{told['id']}"
    assert asked.result().json() == site.get(f"/queue/job/{told['id']}").json()


@pytest.mark.parametrize("prefer", ["wait=1", "wait=0", "await=9", "wait=soon", "wait=-1", "respond-async", "wait"])
def test_without_an_end_in_time_the_answer_is_the_usual_one(impatient: Site, prefer: str) -> None:
    got = submit(impatient, prefer)
    assert answer(got, 202, Submitted)["files_count"] == 1
    assert "Preference-Applied" not in got.headers


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        (["wait=3"], 3),
        (['foo="a, wait=3"'], None),
        (['foo="a, wait=3", wait=4'], 4),
        (['foo="\\", wait=3", wait=4'], 4),
        (['foo="\\\\", wait=3'], 3),
        (['foo="never closed, wait=3'], None),
        (["foo=bar; wait=3"], None),
        (['foo; bar="x;y,z"; baz, WAIT = "5" ; foo'], 5),
        (['wait="5'], None),
        (["respond-async", "wait=6"], 6),
        ([", ,,wait=7,"], 7),
        (["wait=soon", "wait=8"], 8),
        (["wait=1e3"], None),
        (['"' + "\\" * 100_000], None),
        ([], None),
    ],
)
def test_preferences_are_read_as_the_standard_has_them(prefer: list[str], seconds: float | None) -> None:
    headers = Headers(raw=[(b"prefer", line.encode()) for line in prefer])
    assert waiting.preferred_seconds(headers) == seconds


# --- who waits ----------------------------------------------------------------------------------------------------


def hang_up(site: Site, sent: bytes) -> str:
    """Send a request and close the connection when its job is there; the job's id."""
    before = {job["id"] for job in site.queue.get_pending_jobs()}
    with site.connection() as connection:
        connection.sendall(sent)
        wait_until(lambda: len(site.queue.get_pending_jobs()) > len(before))
        (job_id,) = {str(job["id"]) for job in site.queue.get_pending_jobs()} - before
    return job_id


def asking(path: str, headers: dict[str, str] | None = None) -> bytes:
    body = part(b'form-data; name="images"; filename="a.png"') + END
    return request(body, headers).replace(b"/queue/submit", path.encode(), 1)


@pytest.mark.parametrize("sent", [asking("/remove"), asking("/queue/submit", {"Prefer": "wait=30"})])
def test_hanging_up_cancels_the_work(site: Site, sent: bytes) -> None:
    job_id = hang_up(site, sent)
    wait_until(lambda: site.queue.job(job_id).status is JobStatus.CANCELLED)
    assert stored(site.queue.storage) == []


@pytest.mark.parametrize(
    "sent", [asking("/queue/submit"), asking("/remove?wait=0"), asking("/remove", {"Idempotency-Key": "k"})]
)
def test_who_does_not_wait_or_means_to_ask_again_may_hang_up(site: Site, sent: bytes) -> None:
    job_id = hang_up(site, sent)
    later = hang_up(site, asking("/remove?cache=off"))
    wait_until(lambda: site.queue.job(later).status is JobStatus.CANCELLED)
    assert site.queue.job(job_id).status is JobStatus.PENDING


def test_the_same_request_again_after_hanging_up_gets_the_picture(site: Site, clients: ThreadPoolExecutor) -> None:
    job_id = hang_up(site, asking("/remove", {"Idempotency-Key": "k"}))
    asked = clients.submit(remove, site, headers={"Idempotency-Key": "k"})
    (lease,) = claimed(site)
    finish(site.queue, lease)
    got = asked.result()
    assert (got.status_code, got.headers["X-Job-Id"], got.headers["Idempotent-Replayed"]) == (200, job_id, "true")
    assert remove(site, headers={"Idempotency-Key": "k"}).content == CUTOUT, "it has ended before anybody waits"


def test_what_another_process_brings_to_an_end_is_noticed_too(
    site: Site, clients: ThreadPoolExecutor, database: Database, clock: Clock
) -> None:
    elsewhere = QueueManager(database, site.queue.storage, LIMITS, clock=clock)
    asked = clients.submit(remove, site)
    (lease,) = claimed(site)
    finish(elsewhere, lease)
    assert asked.result().content == CUTOUT


def test_of_what_ends_in_its_own_process_it_hears_at_once(
    site: Site, clients: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "LOOK_SECONDS", 3600.0)
    for end in (finish, fail):
        asked = clients.submit(remove, site)
        (lease,) = claimed(site)
        end(site.queue, lease)
        assert asked.result().status_code == (200 if end is finish else 422)
    asked = clients.submit(remove, site)
    (lease,) = claimed(site)
    site.queue.cancel_job(lease.file.job_id, force=True)
    assert asked.result().status_code == 409


def test_many_who_wait_take_nothing_from_others(site: Site, clients: ThreadPoolExecutor) -> None:
    """More than there are threads for routes."""
    asked = [clients.submit(remove, site, params={"cache": "off"}) for _ in range(50)]
    leases = claimed(site, 50)
    for path in ("/health", "/queue/stats", "/queue/jobs"):
        begin = time.monotonic()
        assert site.get(path).status_code == 200
        assert time.monotonic() - begin < 2
    for lease in leases:
        finish(site.queue, lease)
    assert {future.result().status_code for future in asked} == {200}


def test_whoever_waits_outlives_trouble_of_the_database(site: Site, clients: ThreadPoolExecutor) -> None:
    asked = clients.submit(remove, site)
    (lease,) = claimed(site)
    with site.queue.database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE jobs RENAME TO hidden")
    wait_until(lambda: site.get(f"/queue/job/{lease.file.job_id}").status_code == 503)
    with site.queue.database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE hidden RENAME TO jobs")
    finish(site.queue, lease)
    assert asked.result().content == CUTOUT
