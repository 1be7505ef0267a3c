"""Streams of events: what is told, to whom, and what somebody who comes back has missed."""

import socket
import time
from collections.abc import Iterator

import pytest
import requests

from database.engine import Database
from job import JobStatus
from queue_manager import QueueManager
from settings import Settings
from tests.queues import LIMITS, PICTURE, Clock, claim, fail, finish, job_in, submit
from tests.web.event_stream import Stream, following
from tests.web.shapes import problem
from tests.web.site import Site, serving, wait_until
from tests.web.waiters import asking
from web import event_feed, recent_events
from web.event_feed import EventFeed


@pytest.fixture
def elsewhere(site: Site, database: Database, clock: Clock) -> QueueManager:
    """The same queue in another process: nobody here is told of what it does."""
    return QueueManager(database, site.queue.storage, LIMITS, clock=clock)


@pytest.fixture(scope="module")
def dozing_site() -> Iterator[Site]:
    with serving(Settings(poll_seconds=3600.0, api_token=None)) as site:
        yield site


@pytest.fixture
def dozing(dozing_site: Site, queue: QueueManager) -> Site:
    """It never looks by itself for what others did."""
    dozing_site.hold(queue)
    return dozing_site


def all_jobs(site: Site) -> str:
    return f"{site.url}/queue/events"


def one_job(site: Site, job_id: str) -> str:
    return f"{site.url}/queue/job/{job_id}/events"


def seen_states(stream: Stream, job_id: str, until: str) -> list[str]:
    """The states of one job up to one of them."""
    found = []
    while until not in found:
        told = stream.next("job")
        if told.data["id"] == job_id:
            found.append(told.data["status"])
    return found


# --- every job ----------------------------------------------------------------------------------------------------


def test_the_counts_come_first_and_then_changes_only(site: Site) -> None:
    submit(site.queue)
    with following(all_jobs(site)) as stream:
        first = stream.next()
        assert (first.event, first.data) == ("stats", site.get("/queue/stats").json())
        job_id = submit(site.queue, "a.png", "b.png")
        told = stream.next("job")
        assert told.data == site.get(f"/queue/jobs?text={job_id}").json()["jobs"][0]
        assert (told.data["id"], told.data["results"]) == (job_id, None)
        assert told.id is not None
        assert first.id is not None
        assert told.id > first.id


def test_a_job_is_told_from_its_beginning_to_its_end(site: Site) -> None:
    with following(all_jobs(site)) as stream:
        stream.next("stats")
        job_id = submit(site.queue)
        assert seen_states(stream, job_id, "pending") == ["pending"]
        (lease,) = claim(site.queue)
        assert seen_states(stream, job_id, "processing") == ["processing"]
        finish(site.queue, lease)
        assert seen_states(stream, job_id, "completed") == ["completed"]


def test_headers_let_nobody_keep_an_event_back(site: Site) -> None:
    with following(all_jobs(site)) as stream:
        headers = stream.response.headers
        assert (headers["Cache-Control"], headers["X-Accel-Buffering"]) == ("no-cache", "no")


def test_counts_are_told_again_when_they_have_changed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_feed, "STATS_SECONDS", 0.01)
    with following(all_jobs(site)) as stream:
        assert stream.next("stats").data["stats"]["total"] == 0
        submit(site.queue)
        again = stream.next("stats")
        assert (again.data["stats"]["total"], again.id) == (1, None)
        site.queue.cancel_job(submit(site.queue))
        assert stream.until("stats", stats={**again.data["stats"], "cancelled": 1, "total": 2})


def test_what_another_process_does_is_told_too(site: Site, elsewhere: QueueManager) -> None:
    with following(all_jobs(site)) as stream:
        stream.next("stats")
        job_id = submit(elsewhere)
        assert seen_states(stream, job_id, "pending")


def test_of_what_its_own_process_does_it_hears_at_once(dozing: Site) -> None:
    with following(all_jobs(dozing)) as stream:
        stream.next("stats")
        job_id = submit(dozing.queue)
        assert seen_states(stream, job_id, "pending")
        (lease,) = claim(dozing.queue)
        fail(dozing.queue, lease)
        assert seen_states(stream, job_id, "failed")
        dozing.queue.retry_job(job_id)
        assert seen_states(stream, job_id, "pending")
        dozing.queue.cancel_job(job_id)
        assert seen_states(stream, job_id, "cancelled")


# --- coming back --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("in_query", [False, True])
def test_who_comes_back_gets_each_job_that_changed_once_as_it_is_now(site: Site, in_query: bool) -> None:
    untouched, changed = submit(site.queue), submit(site.queue)
    with following(all_jobs(site)) as stream:
        seen = stream.next("stats").id
    site.queue.cancel_job(changed)
    new = submit(site.queue)
    site.queue.cancel_job(new)
    address = f"{all_jobs(site)}?last_event_id={seen}" if in_query else all_jobs(site)
    with following(address, None if in_query else seen) as stream:
        assert stream.next().event == "stats"
        told = [stream.next("job") for _ in range(2)]
        assert [(job.data["id"], job.data["status"]) for job in told] == [(changed, "cancelled"), (new, "cancelled")]
        last = submit(site.queue)
        assert stream.next("job").data["id"] == last
    assert untouched not in {job.data["id"] for job in told}


def test_the_header_of_a_browser_that_comes_back_counts_more_than_its_address(site: Site) -> None:
    submit(site.queue)
    newest = site.queue.changes.newest()
    with following(f"{all_jobs(site)}?last_event_id=0", newest) as stream:
        stream.next("stats")
        job_id = submit(site.queue)
        assert stream.next("job").data["id"] == job_id


def test_one_who_comes_back_before_the_first_change_misses_none(site: Site) -> None:
    with following(all_jobs(site)) as stream:
        seen = stream.next("stats").id
    job_id = submit(site.queue)
    with following(all_jobs(site), seen) as stream:
        assert stream.next("job").data["id"] == job_id


def test_one_who_has_seen_what_this_process_has_not_read_yet_is_believed(
    dozing: Site, database: Database, clock: Clock
) -> None:
    elsewhere = QueueManager(database, dozing.queue.storage, LIMITS, clock=clock)
    with following(all_jobs(dozing)) as early:
        early.next("stats")
        submit(elsewhere)
        with following(all_jobs(dozing), elsewhere.changes.newest()) as late:
            assert late.next().event == "stats"


def assert_reset(site: Site, seen: int | str, words: str) -> None:
    """And from then on changes are told."""
    with following(all_jobs(site), seen) as stream:
        told = stream.next()
        assert told.event == "reset"
        assert words in told.data["reason"]
        assert told.id == site.queue.changes.newest()
        assert stream.next().event == "stats"
        job_id = submit(site.queue)
        assert stream.next("job").data["id"] == job_id


def test_too_many_changes_are_not_told_one_by_one(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_feed, "MOST_REPLAYED", 3)
    for _ in range(4):
        submit(site.queue)
    assert_reset(site, 0, "have changed")
    with following(all_jobs(site), 2) as stream:
        assert len([stream.next("job") for _ in range(3)]) == 3


def test_more_than_is_kept_is_not_told_one_by_one(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent_events, "MOST_BYTES", 2000)
    for _ in range(4):
        submit(site.queue)
    assert_reset(site, 0, "have changed")


def test_a_number_of_another_database_is_told_from_ours(site: Site) -> None:
    submit(site.queue)
    assert_reset(site, 1000, "another database")


@pytest.mark.parametrize("seen", ["-1", "x", "1.5", "1_0", "9223372036854775807", "9" * 40])
def test_what_is_no_number_of_ours_is_one_that_was_never_given(site: Site, seen: str) -> None:
    """A browser whose stream is refused gives up for good."""
    assert_reset(site, seen, "another database")
    job_id = job_in(site.queue, JobStatus.COMPLETED)
    with following(f"{site.url}/queue/job/{job_id}/events", seen) as stream:
        assert stream.next().data["status"] == "completed"


def test_an_empty_number_is_none(site: Site) -> None:
    with following(all_jobs(site), "") as stream:
        assert stream.next().event == "stats"


# --- one job ------------------------------------------------------------------------------------------------------


def test_one_job_is_told_in_full_until_it_has_ended(site: Site) -> None:
    job_id = submit(site.queue, "a.png", "b.png")
    submit(site.queue)
    with following(one_job(site, job_id)) as stream:
        assert stream.next().data == site.get(f"/queue/job/{job_id}").json()
        first, second, other = claim(site.queue)
        finish(site.queue, other)
        finish(site.queue, first)
        assert stream.until("job", progress={"total": 2, "processed": 1, "failed": 0})
        fail(site.queue, second)
        *_, last, end = stream.rest()
        assert last.data == site.get(f"/queue/job/{job_id}").json()
        assert [result["status"] for result in last.data["results"]] == ["completed", "failed"]
        assert (end.event, end.data) == ("end", {})


def test_a_job_that_ended_before_is_told_once_and_then_there_is_nothing_to_come(site: Site) -> None:
    job_id = job_in(site.queue, JobStatus.FAILED)
    with following(one_job(site, job_id)) as stream:
        job, end = stream.rest()
    assert (job.data["status"], end.event) == ("failed", "end")
    again = site.get(f"/queue/job/{job_id}/events", headers={"Last-Event-ID": str(job.id)})
    assert (again.status_code, again.content) == (204, b"")
    site.queue.retry_job(job_id)
    with following(one_job(site, job_id), job.id) as stream:
        assert stream.next("job").data["status"] == "pending"


def test_its_place_in_the_queue_is_told_when_others_before_it_end(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_feed, "STATS_SECONDS", 0.01)
    first, second = submit(site.queue), submit(site.queue)
    with following(one_job(site, second)) as stream:
        assert stream.next("job").data["position"] == 2
        site.queue.cancel_job(first)
        assert stream.next("job").data["position"] == 1


def test_several_may_follow_one_job(site: Site) -> None:
    job_id = submit(site.queue)
    with following(one_job(site, job_id)) as one, following(one_job(site, job_id)) as other:
        assert one.next().data == other.next().data
        site.queue.cancel_job(job_id)
        assert [told.event for told in one.rest()] == [told.event for told in other.rest()] == ["job", "end"]


def test_a_job_that_retention_takes_meanwhile_has_ended(site: Site, clock: Clock) -> None:
    """It ended while this process could not read."""
    job_id = submit(site.queue)
    with following(one_job(site, job_id)) as stream:
        stream.next("job")
        with site.queue.database.write() as connection:
            connection.exec_driver_sql("DELETE FROM jobs")
        assert [told.event for told in stream.rest()] == ["end"]


def test_a_job_that_is_not_there_cannot_be_followed(site: Site, clock: Clock) -> None:
    problem(site.get("/queue/job/unknown/events"), 404, "job_not_found")
    job_id = job_in(site.queue, JobStatus.COMPLETED)
    clock.advance(days=8)
    site.queue.cleanup_old_jobs()
    problem(site.get(f"/queue/job/{job_id}/events"), 410, "job_expired")


# --- connections --------------------------------------------------------------------------------------------------


def test_a_silent_stream_says_that_it_is_still_there(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_feed, "KEEP_ALIVE_SECONDS", 0.05)
    job_id = submit(site.queue)
    for address in (all_jobs(site), one_job(site, job_id)):
        with following(address) as stream:
            stream.next("stats", "job")
            assert [stream.next().event for _ in range(2)] == ["comment", "comment"]


def test_a_job_that_stands_still_says_so_too_while_others_change(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_feed, "KEEP_ALIVE_SECONDS", 0.5)
    job_id = submit(site.queue)
    with following(one_job(site, job_id)) as stream:
        stream.next("job")
        with asking(stream.next) as comment:
            while not comment.done():
                submit(site.queue)
                time.sleep(0.01)
        assert comment.result().event == "comment"


def test_head_is_answered_though_a_stream_never_ends(site: Site) -> None:
    answer = site.session.head(all_jobs(site), timeout=5)
    assert (answer.status_code, answer.content) == (200, b"")
    assert site.session.head(f"{site.url}/health", timeout=5).status_code == 200


def test_one_who_reads_nothing_keeps_nobody_from_reading(site: Site) -> None:
    """And is told later how things are, not how they came to be so."""
    job_id, last = submit(site.queue), 20
    with site.connection() as idle, following(all_jobs(site)) as stream:
        idle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        idle.sendall(b"GET /queue/events HTTP/1.1\r\nHost: here\r\n\r\n")
        stream.next("stats")
        for number in range(last + 1):
            site.queue.update_job_status(job_id, JobStatus.PENDING, note="n" * 1_000_000, number=number)
            site.queue.on_submit.tell()
            assert stream.next("job").data["metadata"]["number"] == number
        assert site.get("/health").status_code == 200
        arrived = b""
        while f'"number":{last}'.encode() not in arrived[-2000:]:
            arrived += idle.recv(2**20)
        assert arrived.count(b"event: job") < last


def test_trouble_of_the_database_ends_no_stream(site: Site) -> None:
    job_id = submit(site.queue)
    with following(all_jobs(site)) as stream:
        stream.next("stats")
        with site.queue.database.write() as connection:
            connection.exec_driver_sql("ALTER TABLE jobs RENAME TO hidden")
        wait_until(lambda: site.get(f"/queue/job/{job_id}").status_code == 503)
        with following(all_jobs(site), 0) as late:
            with site.queue.database.write() as connection:
                connection.exec_driver_sql("ALTER TABLE hidden RENAME TO jobs")
            site.queue.cancel_job(job_id)
            assert seen_states(stream, job_id, "cancelled")
            assert seen_states(late, job_id, "cancelled")


def test_the_database_is_read_only_while_somebody_listens(site: Site) -> None:
    feed: EventFeed = site.app.state.feed
    with following(all_jobs(site)) as stream:
        stream.next("stats")
        reader = feed._reader
        assert reader is not None
        assert not reader.done()
    wait_until(reader.done)
    submit(site.queue)
    with following(all_jobs(site)) as stream:
        stream.next("stats")
        job_id = submit(site.queue)
        assert stream.next("job").data["id"] == job_id


def test_many_streams_take_nothing_from_others(site: Site) -> None:
    """More than there are threads for routes."""
    job_id = submit(site.queue)
    opened = [requests.get(one_job(site, job_id), stream=True, timeout=10) for _ in range(50)]
    assert site.get("/queue/stats").status_code == 200
    site.queue.cancel_job(job_id)
    assert all([told.event for told in Stream(response).rest()][-1] == "end" for response in opened)
    assert site.submit([("a.png", PICTURE)]).status_code == 202
