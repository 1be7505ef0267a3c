"""Listings in pages: every job once, whatever comes in between."""

import base64
import json

import pytest

from job import JobStatus
from tests.queues import Clock, job_in, submit
from tests.web.shapes import JobPage, JobShape, answer, problem
from tests.web.site import Site


def page(site: Site, query: str = "") -> JobPage:
    return answer(site.get(f"/queue/jobs{query}"), 200, JobPage)


def ids(listing: JobPage) -> list[str]:
    return [job["id"] for job in listing["jobs"]]


def test_an_empty_queue_lists_nothing(site: Site) -> None:
    assert page(site) == {"total": 0, "jobs": [], "next": None}


def test_jobs_are_listed_newest_first_20_at_a_time(site: Site, clock: Clock) -> None:
    order = []
    for _ in range(21):
        order.append(submit(site.queue))
        clock.advance(seconds=1)
    first = page(site)
    assert (ids(first), first["total"]) == (order[:0:-1], 21)
    last = page(site, f"?cursor={first['next']}")
    assert (ids(last), last["next"]) == (order[:1], None)


def test_the_cursor_leads_through_every_job_once(site: Site, clock: Clock) -> None:
    made = []
    for n in range(7):
        made.append(submit(site.queue))
        clock.advance(seconds=n % 2)
    seen: list[str] = []
    listing = page(site, "?limit=2")
    seen += ids(listing)
    while listing["next"] is not None:
        submit(site.queue)
        clock.advance(seconds=1)
        listing = page(site, f"?limit=2&cursor={listing['next']}")
        seen += ids(listing)
    assert sorted(seen) == sorted(made)


def test_a_page_that_holds_exactly_the_rest_is_the_last(site: Site) -> None:
    for _ in range(4):
        submit(site.queue)
    listing = page(site, "?limit=2")
    assert page(site, f"?limit=2&cursor={listing['next']}")["next"] is None


@pytest.mark.parametrize("status", JobStatus)
def test_one_state_can_be_listed(site: Site, status: JobStatus) -> None:
    # Whatever waits would be taken by the next claim, so the pending one comes last.
    made = {state: job_in(site.queue, state) for state in reversed(JobStatus)}
    listing = page(site, f"?status={status}")
    assert (ids(listing), listing["total"]) == ([made[status]], 1)


def test_a_listed_job_has_everything_but_its_results(site: Site) -> None:
    job_id = job_in(site.queue, JobStatus.COMPLETED, "a.png", "b.png")
    alone = answer(site.get(f"/queue/job/{job_id}"), 200, JobShape)
    assert alone["results"] is not None
    assert page(site)["jobs"] == [{**alone, "results": None}]


@pytest.mark.parametrize(
    "query", ["?limit=0", "?limit=-1", "?limit=1001", "?limit=ten", "?status=done", "?status=PENDING"]
)
def test_a_question_that_makes_no_sense_is_refused(site: Site, query: str) -> None:
    told = problem(site.get(f"/queue/jobs{query}"), 422, "invalid_request")
    assert query[1:].partition("=")[0] in told["detail"]


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


STRANGE: list[object] = [[], ["a"], ["a", "b", "c"], {"a": 1, "b": 2}, "ab", 7, None, [1, 2]]
DEEP = base64.urlsafe_b64encode(b"[" * 30_000).decode()


@pytest.mark.parametrize("cursor", ["x", "!!!!", "é", "%00", DEEP, *map(encoded, STRANGE)], ids=lambda c: c[:24])
def test_a_cursor_that_the_service_never_gave_is_refused(site: Site, cursor: str) -> None:
    submit(site.queue)
    told = problem(site.get(f"/queue/jobs?cursor={cursor}"), 422, "invalid_request")
    assert "cursor" in told["detail"]


@pytest.mark.parametrize("text", ["' OR 1=1 --", "%", "\0", "𝕏" * 1000])
def test_a_made_up_cursor_finds_jobs_or_nothing_but_never_breaks(site: Site, text: str) -> None:
    submit(site.queue)
    page(site, f"?cursor={encoded([text, text])}")
