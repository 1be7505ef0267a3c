"""The same submit sent again makes no second job, whatever became of the first one."""

from collections.abc import Sequence

import pytest
import requests

from errors import SubmitInProgress
from queue_manager import QueueManager
from tests.pictures import encode, ramp
from tests.queues import PICTURE, Clock, stored
from tests.web.bodies import END, image, request
from tests.web.shapes import problem
from tests.web.site import Site, wait_until

OTHER = encode(ramp(9, 8), "PNG")
TWO = [("a.png", PICTURE), ("b.png", OTHER)]


def send(site: Site, key: str, files: Sequence[tuple[str, bytes]] = TWO, query: str = "") -> requests.Response:
    """Each time with another multipart boundary, as clients do."""
    parts = [("images", file) for file in files]
    return site.post(f"/queue/submit{query}", files=parts, headers={"Idempotency-Key": key})


def queued(answer: requests.Response) -> str:
    assert answer.status_code == 202, answer.text
    job_id: str = answer.json()["job_id"]
    return job_id


def test_the_same_again_answers_the_same_job(site: Site) -> None:
    first, again = send(site, "k"), send(site, "k")
    assert queued(again) == queued(first)
    assert (first.headers.get("Idempotent-Replayed"), again.headers["Idempotent-Replayed"]) == (None, "true")
    assert again.json()["files_count"] == 2
    assert again.headers["Location"] == first.headers["Location"]
    assert site.queue.get_job_stats()["total"] == 1
    assert len(stored(site.queue.storage)) == 2, "the second upload is not kept"


def test_other_keys_and_no_key_make_jobs_of_their_own(site: Site) -> None:
    answers = [send(site, "k"), send(site, "l"), site.submit(TWO), site.submit(TWO)]
    assert len({queued(answer) for answer in answers}) == 4


def test_a_job_that_has_ended_is_answered_too(site: Site) -> None:
    first = queued(send(site, "k"))
    site.queue.cancel_job(first)
    assert queued(send(site, "k")) == first


@pytest.mark.parametrize(
    ("files", "query"),
    [
        ([("a.png", PICTURE), ("b.png", PICTURE)], ""),
        (list(reversed(TWO)), ""),
        (TWO[:1], ""),
        (TWO, "?model=u2netp"),
        (TWO, "?priority=high"),
    ],
    ids=["another picture", "another order", "a file less", "another model", "another priority"],
)
def test_another_payload_under_the_same_key_is_refused(site: Site, files: list[tuple[str, bytes]], query: str) -> None:
    first = queued(send(site, "k"))
    told = problem(send(site, "k", files, query), 422, "idempotency_key_reused")
    assert first in told["detail"]
    assert site.queue.get_job_stats()["total"] == 1
    assert len(stored(site.queue.storage)) == 2


def test_file_names_do_not_count(site: Site) -> None:
    renamed = [("x.png", PICTURE), ("y.png", OTHER)]
    assert queued(send(site, "k", renamed)) == queued(send(site, "k"))


def test_files_that_were_left_out_are_listed_again(site: Site) -> None:
    files = [("a.png", PICTURE), ("notes.txt", b"no picture")]
    first, again = (send(site, "k", files, "?on_invalid=skip") for _ in range(2))
    assert queued(again) == queued(first)
    assert again.json()["rejected"] == first.json()["rejected"] != []


def test_a_request_that_is_still_being_stored_is_told_so(site: Site) -> None:
    body = image() + END
    with site.connection() as connection:
        connection.sendall(request(body, {"Idempotency-Key": "k"})[: -len(END)])
        wait_until(lambda: len(stored(site.queue.storage)) == 1)
        second = send(site, "k")
        problem(second, 409, "submit_in_progress")
        assert int(second.headers["Retry-After"]) > 0
        connection.sendall(END)
        assert connection.recv(65536).startswith(b"HTTP/1.1 202")
    again = send(site, "k", [("cat.png", PICTURE)])
    assert again.headers["Idempotent-Replayed"] == "true"


def test_a_client_that_goes_away_gives_its_key_back(site: Site) -> None:
    with site.connection() as connection:
        connection.sendall(request(image() + END, {"Idempotency-Key": "k"})[: -len(END)])
        wait_until(lambda: len(stored(site.queue.storage)) == 1)
    wait_until(lambda: stored(site.queue.storage) == [])
    wait_until(lambda: send(site, "k").status_code == 202)


@pytest.mark.parametrize(
    ("files", "query"),
    [([("notes.txt", b"no picture")], ""), ([], ""), (TWO, "?model=no-such-model"), (TWO, "?colour=red")],
    ids=["no picture", "no files", "unknown model", "unknown parameter"],
)
def test_a_refused_request_gives_its_key_back(site: Site, files: list[tuple[str, bytes]], query: str) -> None:
    assert 400 <= send(site, "k", files or [("", b"")], query).status_code < 500
    again = send(site, "k")
    assert queued(again)
    assert "Idempotent-Replayed" not in again.headers


@pytest.mark.parametrize("key", ["", "x" * 256], ids=["empty", "long"])
def test_a_key_that_is_none_is_refused(site: Site, key: str) -> None:
    problem(send(site, key), 422, "invalid_request")


@pytest.mark.parametrize("key", ["x" * 255, "' OR 1=1 --", "a b", '"quoted"', "käse".encode().decode("latin-1")])
def test_any_other_key_is_taken_as_it_is(site: Site, key: str) -> None:
    first = site.post("/queue/submit", files=[("images", TWO[0])], headers={"Idempotency-Key": key.encode("latin-1")})
    again = site.post("/queue/submit", files=[("images", TWO[0])], headers={"Idempotency-Key": key.encode("latin-1")})
    assert queued(first) == queued(again)


# --- how long a key is kept ---------------------------------------------------------------------------------------


def test_a_key_is_kept_for_a_day(site: Site, clock: Clock) -> None:
    first = queued(send(site, "k"))
    clock.advance(hours=23, minutes=59)
    assert queued(send(site, "k")) == first
    clock.advance(minutes=2)
    assert queued(send(site, "k")) != first


def test_a_key_whose_job_has_expired_starts_anew(site: Site, clock: Clock) -> None:
    first = queued(send(site, "k"))
    site.queue.cancel_job(first)
    clock.advance(hours=2)
    assert site.queue.cleanup_old_jobs(days=1 / 24) == 1
    again = send(site, "k")
    assert queued(again) != first
    assert "Idempotent-Replayed" not in again.headers


def test_old_keys_go_by_themselves(queue: QueueManager, clock: Clock) -> None:
    queue.keys.reserve("k")
    clock.advance(days=2)
    queue.cleanup_old_jobs()
    with queue.database.read() as connection:
        assert connection.exec_driver_sql("SELECT COUNT(*) FROM idempotency_keys").scalar() == 0


def test_the_reservation_of_a_dead_request_ends_within_a_minute(queue: QueueManager, clock: Clock) -> None:
    dead = queue.keys.reserve("k")
    with pytest.raises(SubmitInProgress):
        queue.keys.reserve("k")
    clock.advance(seconds=60)
    living = queue.keys.reserve("k")
    assert living != dead
    # It was not dead after all, only slow: its job would be a second one.
    submission = queue.begin_submission()
    submission.take([("a.png", PICTURE)])
    with pytest.raises(SubmitInProgress):
        queue.submit(submission, model="u2netp", key=dead)
    assert stored(queue.storage) == []
    assert queue.get_job_stats()["total"] == 0
    submission = queue.begin_submission()
    submission.take([("a.png", PICTURE)])
    assert queue.submit(submission, model="u2netp", key=living).job.total_files == 1


def test_a_clock_that_is_set_back_does_not_prolong_a_dead_reservation(queue: QueueManager, clock: Clock) -> None:
    queue.keys.reserve("k")
    clock.advance(hours=-1)
    queue.keys.reserve("k")


def test_a_slow_upload_keeps_its_reservation_as_long_as_bytes_come(queue: QueueManager, clock: Clock) -> None:
    slow = queue.keys.reserve("k")
    for _ in range(10):
        clock.advance(seconds=30)
        queue.keys.renew(slow)  # type: ignore[arg-type]
        with pytest.raises(SubmitInProgress):
            queue.keys.reserve("k")


def test_a_released_key_of_somebody_else_stays(queue: QueueManager, clock: Clock) -> None:
    late = queue.keys.reserve("k")
    clock.advance(seconds=60)
    queue.keys.reserve("k")
    queue.keys.release(late)  # type: ignore[arg-type]
    queue.keys.renew(late)  # type: ignore[arg-type]
    with pytest.raises(SubmitInProgress):
        queue.keys.reserve("k")
