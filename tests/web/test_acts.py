"""Acts over HTTP: on one job, on many, on the queue; who may, what is refused, and what the history tells."""

from typing import Any

import pytest

from job import JobStatus
from tests.queues import Clock, claim, fail, job_in, submit
from tests.web.shapes import problem
from tests.web.site import Site

FOREIGN = {"Origin": "https://shop.example"}


def act(site: Site, **body: Any) -> Any:
    response = site.post("/queue/jobs/act", json=body)
    assert response.status_code == 200, response.text
    return response.json()


def history(site: Site, path: str = "/queue/history") -> list[tuple[str, str | None, str | None]]:
    return [(line["act"], line["by"], line["detail"]) for line in site.get(path).json()["history"]]


def test_the_priority_of_a_job_is_changed(site: Site) -> None:
    submit(site.queue)
    job_id = submit(site.queue)
    response = site.post(f"/queue/job/{job_id}/priority?priority=high")
    assert response.json() == {"job_id": job_id, "status": "pending", "message": "The priority is high now"}
    told = site.get(f"/queue/job/{job_id}").json()
    assert (told["priority"], told["position"]) == ("high", 1)


@pytest.mark.parametrize("query", ["", "?priority=", "?priority=urgent"])
def test_a_priority_that_there_is_not_is_refused(site: Site, query: str) -> None:
    problem(site.post(f"/queue/job/{submit(site.queue)}/priority{query}"), 422, "invalid_request")


def test_the_priority_of_jobs_that_are_not_there_any_more(site: Site, clock: Clock) -> None:
    job_id = job_in(site.queue, JobStatus.COMPLETED)
    problem(site.post(f"/queue/job/{job_id}/priority?priority=low"), 409, "illegal_transition")
    problem(site.post("/queue/job/nobody/priority?priority=low"), 404, "job_not_found")
    clock.advance(days=8)
    site.queue.cleanup_old_jobs()
    problem(site.post(f"/queue/job/{job_id}/priority?priority=low"), 410, "job_expired")


def test_chosen_jobs_are_acted_on(site: Site) -> None:
    first, second = submit(site.queue), submit(site.queue)
    told = act(site, act="cancel", ids=[first, "nobody"])
    assert (told["changed"], told["refused_count"], told["left"]) == (1, 1, 0)
    assert told["refused"] == [{"job_id": "nobody", "reason": "There is no job nobody."}]
    assert [site.queue.job(job_id).status for job_id in (first, second)] == [JobStatus.CANCELLED, JobStatus.PENDING]


def test_all_that_match_are_acted_on_call_by_call(site: Site, clock: Clock) -> None:
    for _ in range(5):
        submit(site.queue, "cat.png")
    submit(site.queue, "dog.png")
    told = act(site, act="priority", priority="low", filter={"text": "cat"}, limit=2)
    left = [told["left"]]
    while told["left"]:
        clock.advance(seconds=1)
        submit(site.queue, "cat.png")
        told = act(site, act="priority", priority="low", filter={"text": "cat"}, limit=2, as_of=told["as_of"])
        left.append(told["left"])
    assert left == [3, 1, 0]
    assert site.get("/queue/jobs?priority=low").json()["total"] == 5
    assert history(site) == [("priority", "127.0.0.1", f"{n} job{'s' * (n > 1)}: text cat, to low") for n in (1, 2, 2)]


def test_no_job_is_met_that_was_not_in_the_list_that_somebody_looked_at(site: Site, clock: Clock) -> None:
    for _ in range(3):
        submit(site.queue)
    seen = site.get("/queue/jobs?status=pending").json()
    clock.advance(seconds=1)
    later = submit(site.queue)
    told = act(site, act="cancel", filter={"status": "pending"}, as_of=seen["as_of"])
    assert (told["changed"], told["left"]) == (seen["total"], 0)
    assert site.queue.job(later).status is JobStatus.PENDING


def test_a_filter_that_reaches_into_the_future_comes_to_an_end_all_the_same(site: Site, clock: Clock) -> None:
    for _ in range(3):
        submit(site.queue)
    assert act(site, act="cancel", filter={}, as_of="0001-01-01T00:02:00Z")["changed"] == 0
    told = act(site, act="cancel", filter={"until": "2999-01-01T00:00:00Z"}, limit=2)
    left = [told["left"]]
    while told["left"]:
        clock.advance(seconds=1)
        submit(site.queue)
        told = act(site, act="cancel", filter={"until": "2999-01-01T00:00:00Z"}, limit=2, as_of=told["as_of"])
        left.append(told["left"])
    assert left == [1, 0]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"act": "cancel"},
        {"act": "delete", "filter": {}},
        {"act": "retry", "force": True, "filter": {}},
        {"act": "cancel", "ids": [], "filter": {}},
        {"act": "cancel", "ids": ["a"], "filter": {}},
        {"act": "cancel", "ids": []},
        {"act": "cancel", "ids": ["a"] * 1001},
        {"act": "cancel", "ids": ["\ud800"]},
        {"act": "cancel", "ids": [7]},
        {"act": "cancel", "filter": {"text": "\ud800"}},
        {"act": "cancel", "filter": {"staus": "pending"}},
        {"act": "cancel", "filter": {"until": "yesterday"}},
        {"act": "cancel", "filter": {}, "limit": 0},
        {"act": "cancel", "filter": {}, "limit": 1001},
        {"act": "cancel", "filter": {}, "as_of": "now"},
        {"act": "cancel", "filter": {}, "froce": True},
        {"act": "cancel", "filter": {}, "priority": "high"},
        {"act": "priority", "filter": {}},
        {"act": "priority", "priority": "urgent", "filter": {}},
        {"act": "cancel", "filter": []},
        [],
        "cancel",
    ],
    ids=str,
)
def test_a_request_that_does_not_say_what_it_means_changes_nothing(site: Site, body: object) -> None:
    job_id = submit(site.queue)
    problem(site.post("/queue/jobs/act", json=body), 422, "invalid_request")
    assert site.queue.job(job_id).status is JobStatus.PENDING
    assert history(site) == []


@pytest.mark.parametrize("text", ["%", "_", "'", '"', "' OR 1=1 --", "\0"])
def test_a_text_means_itself_and_never_every_job(site: Site, text: str) -> None:
    submit(site.queue)
    assert act(site, act="cancel", filter={"text": text})["changed"] == 0


def test_a_page_of_another_site_cannot_act(site: Site) -> None:
    job_id = submit(site.queue)
    body = {"act": "cancel", "filter": {}}
    problem(site.post("/queue/jobs/act", json=body, headers=FOREIGN), 403, "foreign_origin")
    problem(site.post(f"/queue/job/{job_id}/priority?priority=high", headers=FOREIGN), 403, "foreign_origin")
    # A form of another site needs no preflight, and has an Origin too.
    as_form = FOREIGN | {"Content-Type": "text/plain"}
    problem(site.post("/queue/jobs/act", json=body, headers=as_form), 403, "foreign_origin")
    assert site.queue.job(job_id).status is JobStatus.PENDING
    assert site.post("/queue/jobs/act", json=body, headers={"Origin": site.url}).json()["changed"] == 1


def test_the_history_names_who_did_it_newest_first(site: Site) -> None:
    failed, waiting = job_in(site.queue, JobStatus.FAILED), submit(site.queue)
    for path in (f"job/{failed}/retry", f"job/{waiting}/priority?priority=low", "pause", "resume"):
        assert site.post(f"/queue/{path}").status_code == 200
    act(site, act="cancel", filter={})
    assert history(site) == [
        ("cancel", "127.0.0.1", "2 jobs: all"),
        ("resume", "127.0.0.1", None),
        ("pause", "127.0.0.1", None),
        ("priority", "127.0.0.1", "low"),
        ("retry", "127.0.0.1", "1 failed file"),
    ]
    assert history(site, f"/queue/job/{failed}/history") == [
        ("failed", None, "The picture is damaged."),
        ("retry", "127.0.0.1", "1 failed file"),
        ("cancel", "127.0.0.1", None),
    ]
    first = site.get("/queue/history?limit=4").json()["history"][3]
    assert (first["job_id"], first["index"], first["code"]) == (waiting, None, None)


def test_a_refused_act_is_no_line(site: Site) -> None:
    done = job_in(site.queue, JobStatus.COMPLETED)
    for path in ("cancel", "retry", "priority?priority=high"):
        problem(site.post(f"/queue/job/{done}/{path}"), 409, "illegal_transition")
    assert act(site, act="cancel", ids=[done])["refused_count"] == 1
    assert history(site) == history(site, f"/queue/job/{done}/history") == []


def test_the_history_comes_in_pages(site: Site) -> None:
    for n in range(7):
        site.queue.set_paused(n % 2 == 0)
    seen: list[int] = []
    cursor = ""
    while True:
        told = site.get(f"/queue/history?limit=3{cursor}").json()
        seen += [line["id"] for line in told["history"]]
        if told["next"] is None:
            break
        site.queue.set_paused(len(seen) % 2 == 0)
        cursor = f"&cursor={told['next']}"
    assert seen == sorted(seen, reverse=True)
    assert len(seen) == len(set(seen)) == 7
    for query in ("limit=0", "limit=1001", "cursor=x", "cursor=0", f"cursor={2**63}"):
        problem(site.get(f"/queue/history?{query}"), 422, "invalid_request")


def test_the_timeline_of_a_job_tells_which_file_failed_and_why(site: Site) -> None:
    job_id = submit(site.queue, "a.png", "b.png")
    fail(site.queue, claim(site.queue)[1])
    (line,) = site.get(f"/queue/job/{job_id}/history").json()["history"]
    assert (line["act"], line["index"], line["code"], line["by"]) == ("failed", 1, "damaged", None)
    problem(site.get("/queue/job/nobody/history"), 404, "job_not_found")
