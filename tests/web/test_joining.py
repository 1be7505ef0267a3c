"""The same request while the first one is waited for: it joins that job, and no hang-up takes the work from others."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import pytest
import requests

from database.engine import Database
from errors import IllegalTransition
from job import JobStatus, Priority
from queue_manager import QueueManager
from submission import Queued, Submission
from tests.queues import CUTOUT, LIMITS, PICTURE, Clock, claim, fail, finish, stored
from tests.web.bodies import END, part, request
from tests.web.shapes import problem
from tests.web.site import Site, wait_until
from tests.web.waiters import claimed

T = TypeVar("T")
Ask = Callable[..., "Future[requests.Response]"]
RACES = 20


@pytest.fixture
def ask(site: Site) -> Iterator[Ask]:
    """Ask /remove in a thread; comes back when the service has the request."""
    with ThreadPoolExecutor(8) as clients:

        def send(query: str = "", name: str = "cat.png", path: str = "/remove", **headers: str) -> requests.Response:
            field = {"/remove": "image", "/api/remove": "file", "/v1.0/removebg": "image_file"}[path]
            files = {field: (name, PICTURE)}
            return requests.post(f"{site.url}{path}{query}", files=files, headers=headers, timeout=30)

        def begin(*options: str, **headers: str) -> "Future[requests.Response]":
            before = waiting(site)
            asked = clients.submit(send, *options, **headers)
            wait_until(lambda: waiting(site) > before or asked.done())
            return asked

        yield begin


def waiting(site: Site) -> int:
    return sum(map(len, site.app.state.waiting._waiting.values()))


def jobs(queue: QueueManager) -> int:
    return queue.get_job_stats()["total"]


@contextmanager
def connected(site: Site, query: str = "") -> Iterator[None]:
    """The same request, waited for with others; hangs up at the end."""
    before = waiting(site)
    body = part(b'form-data; name="image"; filename="cat.png"') + END
    with site.connection() as connection:
        connection.sendall(request(body).replace(b"/queue/submit", f"/remove{query}".encode(), 1))
        wait_until(lambda: waiting(site) > before)
        yield
        before = waiting(site) - 1
    wait_until(lambda: waiting(site) == before)


def hang_up_alone(site: Site, query: str = "") -> None:
    """With work that nobody else waits for; what hung up before is dealt with then, too."""
    cancelled = site.queue.get_job_stats()["cancelled"]
    with connected(site, query):
        pass
    wait_until(lambda: site.queue.get_job_stats()["cancelled"] > cancelled)


@pytest.mark.parametrize("path", ["/remove", "/api/remove", "/v1.0/removebg"])
def test_the_same_request_gets_the_same_job_and_its_own_name(site: Site, ask: Ask, path: str) -> None:
    first, second = ask("", "cat.png", path), ask("", "dog.png", path)
    assert jobs(site.queue) == 1
    (lease,) = claimed(site)
    third = ask("", "cow.png", path)
    assert jobs(site.queue) == 1
    assert stored(site.queue.storage) == [lease.file.input_key]
    finish(site.queue, lease)
    answers = [asked.result() for asked in (first, second, third)]
    assert {(got.status_code, got.content, got.headers["X-Job-Id"]) for got in answers} == {
        (200, CUTOUT, lease.file.job_id)
    }
    names = [got.headers["Content-Disposition"].partition(";")[2].partition(";")[0] for got in answers]
    assert names == [' filename="cat.png"', ' filename="dog.png"', ' filename="cow.png"']


def test_a_retry_after_the_wait_was_too_short_joins_what_goes_on(site: Site, ask: Ask) -> None:
    late = ask("?wait=0.1").result()
    assert late.status_code == 202
    again = ask()
    (lease,) = claimed(site)
    running = ask("?wait=0").result()
    assert (running.status_code, running.json()["position"]) == (202, None)
    finish(site.queue, lease)
    assert again.result().headers["X-Job-Id"] == late.headers["X-Job-Id"] == running.headers["X-Job-Id"]
    assert jobs(site.queue) == 1


def test_all_who_joined_hear_of_a_failure_and_a_new_request_tries_again(site: Site, ask: Ask) -> None:
    asked = ask(), ask()
    (lease,) = claimed(site)
    fail(site.queue, lease, "It went wrong.")
    for got in asked:
        problem(got.result(), 422, "damaged")
    ask("?wait=0").result()
    assert jobs(site.queue) == 2


@pytest.mark.parametrize("query", ["?quality=80", "?priority=low", "?model=u2netp"])
def test_other_work_is_another_job(site: Site, ask: Ask, query: str) -> None:
    ask("?wait=0").result()
    ask(query + "&wait=0").result()
    assert jobs(site.queue) == 2


def test_without_reuse_nobody_joins(site: Site, ask: Ask) -> None:
    for _ in range(2):
        ask("?cache=off&wait=0").result()
    assert jobs(site.queue) == 2


def test_a_submit_is_always_a_job_of_its_own(site: Site, ask: Ask) -> None:
    site.submit([("cat.png", PICTURE)], "?priority=high")
    ask("?wait=0").result()
    site.submit([("cat.png", PICTURE)], "?priority=high")
    assert jobs(site.queue) == 3


# --- hanging up ---------------------------------------------------------------------------------------------------


def test_the_first_may_hang_up_when_another_has_joined(site: Site, ask: Ask) -> None:
    with connected(site):
        second = ask()
    hang_up_alone(site, "?cache=off")
    (lease,) = claimed(site)
    finish(site.queue, lease)
    assert second.result().content == CUTOUT


def test_who_joined_may_hang_up(site: Site, ask: Ask) -> None:
    first = ask()
    with connected(site):
        pass
    hang_up_alone(site, "?cache=off")
    (lease,) = claimed(site)
    finish(site.queue, lease)
    assert first.result().content == CUTOUT


def test_work_that_was_promised_goes_on_when_a_retry_hangs_up(site: Site, ask: Ask) -> None:
    job_id = ask("?wait=0").result().json()["job_id"]
    with connected(site):
        pass
    hang_up_alone(site, "?cache=off")
    assert site.queue.job(job_id).status is JobStatus.PENDING


def test_after_a_hang_up_alone_the_work_begins_anew(site: Site, ask: Ask) -> None:
    hang_up_alone(site)
    asked = ask()
    (lease,) = claimed(site)
    finish(site.queue, lease)
    assert asked.result().content == CUTOUT
    assert jobs(site.queue) == 2


def test_an_idempotency_key_joins_and_is_bound_to_that_job(site: Site, ask: Ask) -> None:
    first = ask()
    keyed = ask(**{"Idempotency-Key": "k"})
    (lease,) = claimed(site)
    finish(site.queue, lease)
    again = ask(**{"Idempotency-Key": "k"}).result()
    assert "Idempotent-Replayed" not in keyed.result().headers
    assert again.headers["Idempotent-Replayed"] == "true"
    ids = {asked.headers["X-Job-Id"] for asked in (first.result(), keyed.result(), again)}
    assert ids == {lease.file.job_id}


# --- at the same moment, in two processes -------------------------------------------------------------------------


def arrived(queue: QueueManager) -> Submission:
    submission = queue.begin_submission()
    submission.take([("cat.png", PICTURE)])
    return submission


def wait_for_it(queue: QueueManager, submission: Submission) -> Queued:
    return queue.submit(submission, model="u2netp", priority=Priority.HIGH, joins=True)


def at_once(*actions: Callable[[], T]) -> list[T]:
    barrier = threading.Barrier(len(actions))

    def act(action: Callable[[], T]) -> T:
        barrier.wait()
        return action()

    with ThreadPoolExecutor(len(actions)) as threads:
        return list(threads.map(act, actions))


@pytest.fixture
def elsewhere(database_url: str, queue: QueueManager, clock: Clock) -> Iterator[QueueManager]:
    """The same queue through connections of its own."""
    database = Database(database_url)
    yield QueueManager(database, queue.storage, LIMITS, clock=clock)
    database.close()


def test_of_two_equal_requests_one_makes_the_job(queue: QueueManager, elsewhere: QueueManager) -> None:
    for race in range(RACES):
        made = at_once(*(partial(wait_for_it, each, arrived(each)) for each in (queue, elsewhere)))
        assert sorted(each.joined for each in made) == [False, True]
        assert len({each.job.id for each in made}) == 1
        assert jobs(queue) == race + 1
        queue.cancel_job(made[0].job.id)
    assert stored(queue.storage) == []


def test_who_joins_at_the_moment_of_a_hang_up_loses_nothing(queue: QueueManager, elsewhere: QueueManager) -> None:
    for _ in range(RACES):
        first, to_come = wait_for_it(queue, arrived(queue)), arrived(elsewhere)
        _, later = at_once(partial(queue.abandon, first), partial(wait_for_it, elsewhere, to_come))
        assert later is not None
        assert queue.job(later.job.id).status is JobStatus.PENDING
        assert later.joined == (queue.job(first.job.id).status is JobStatus.PENDING)
        queue.cancel_job(later.job.id)


def test_what_has_ended_cannot_be_abandoned(queue: QueueManager) -> None:
    queued = wait_for_it(queue, arrived(queue))
    (lease,) = claim(queue)
    finish(queue, lease)
    with pytest.raises(IllegalTransition):
        queue.abandon(queued)
