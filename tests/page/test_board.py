"""The queue board in a real browser: look for jobs, open them, act on them, watch others act."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import pytest
import requests
from playwright.sync_api import APIResponse, BrowserContext, Locator, Page, Route, expect

from tests.page.conftest import Watch, violations
from tests.pictures import encode, ramp
from tests.service import SAMPLES, Service

SMALL = encode(ramp(32, 32), "PNG")
# Its header is that of a picture, so that it is taken; the rest is missing, so that it fails.
BROKEN = SAMPLES[0].read_bytes()[:3000]


@pytest.fixture
def mark() -> str:
    """A word in the names of a test's files: the service is shared, so each test looks for its own."""
    return f"mark-{uuid4().hex[:8]}"


@pytest.fixture
def paused(service: Service) -> Iterator[None]:
    """Nothing is begun, and nothing is left behind that waits."""
    with pause(service):
        yield


@contextmanager
def pause(service: Service) -> Iterator[None]:
    requests.post(f"{service.url}/queue/pause", timeout=10).raise_for_status()
    yield
    body = {"act": "cancel", "force": True, "filter": {}}
    requests.post(f"{service.url}/queue/jobs/act", json=body, timeout=30).raise_for_status()
    requests.post(f"{service.url}/queue/resume", timeout=10).raise_for_status()


def row(page: Page, name: str) -> Locator:
    return page.locator("#rows tr").filter(has_text=name)


def badge(page: Page, name: str) -> Locator:
    return row(page, name).locator(".badge")


def live(page: Page) -> None:
    expect(page.locator("#link-state")).to_have_attribute("data-state", "live")


def cancel(service: Service, job_id: str) -> None:
    requests.post(f"{service.url}/queue/job/{job_id}/cancel", timeout=10).raise_for_status()


def status(service: Service, job_id: str) -> object:
    return service.job(job_id)["status"]


def test_filters_are_kept_in_the_address(page: Page, service: Service, mark: str, paused: None) -> None:
    service.submit([(f"{mark}-one.png", SMALL)])
    service.submit([(f"{mark}-two.png", SMALL)], model="u2net")
    cancelled = service.submit([(f"{mark}-three.png", SMALL)])
    cancel(service, cancelled)

    page.goto("/board")
    page.get_by_role("searchbox").fill(f"{mark}-t")
    rows = page.locator("#rows tr")
    expect(rows).to_have_count(2)
    page.get_by_label("Model", exact=True).select_option("u2net")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text(f"{mark}-two.png")
    page.get_by_label("Model", exact=True).select_option("")
    page.get_by_role("link", name="cancelled").click()
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text(f"{mark}-three.png")
    expect(page).to_have_url(re.compile(rf"status=cancelled&text={mark}-t"))

    page.reload()
    expect(rows).to_have_count(1)
    expect(page.get_by_role("searchbox")).to_have_value(f"{mark}-t")
    page.go_back()
    expect(rows).to_have_count(2)
    page.get_by_label("Submitted").select_option("1h")
    expect(page).to_have_url(re.compile("within=1h"))
    expect(rows).to_have_count(2)
    page.get_by_role("link", name="failed").click()
    expect(page.get_by_text("No job matches")).to_be_visible()
    page.get_by_role("button", name="Show all jobs").click()
    expect(row(page, f"{mark}-one.png")).to_be_visible()


def test_a_job_is_read_by_keyboard_alone(page: Page, service: Service, mark: str) -> None:
    service.wait_for(service.submit([(f"{mark}.jpg", SAMPLES[0].read_bytes()), (f"{mark}-broken.jpg", BROKEN)]))
    newer = service.submit([(f"{mark}-newer.png", SMALL)])
    service.wait_for(newer)

    page.goto("/board")
    expect(row(page, f"{mark}-newer.png")).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type(mark)
    expect(page.locator("#rows tr")).to_have_count(2)
    page.keyboard.press("Enter")
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(row(page, f"{mark}.jpg").get_by_role("link")).to_be_focused()
    page.keyboard.press("Enter")

    detail = page.get_by_role("dialog", name=mark)
    expect(detail.locator("#detail-title")).to_be_focused()
    for happened in ("Submitted", "Begun", "A picture failed", "Completed"):
        expect(detail.locator(".timeline")).to_contain_text(happened)
    good, bad = detail.locator(".files li").all()
    expect(bad).to_contain_text("broken_picture")
    for picture in (f"{mark}.jpg, given", f"{mark}.jpg, cut out"):
        shown = good.get_by_role("img", name=picture)
        shown.scroll_into_view_if_needed()
        expect(shown).to_have_js_property("complete", True)
        assert shown.evaluate("picture => picture.naturalWidth") > 0
    expect(good.get_by_role("link", name="Download")).to_have_attribute("href", re.compile("/result/0$"))

    page.keyboard.press("k")
    expect(page).to_have_url(re.compile(newer))
    expect(detail).to_be_visible()
    page.keyboard.press("Escape")
    expect(detail).to_be_hidden()
    expect(row(page, f"{mark}-newer.png").get_by_role("link")).to_be_focused()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()


def test_a_failed_job_is_tried_again(page: Page, service: Service, mark: str) -> None:
    job = service.submit([(f"{mark}.jpg", BROKEN)])
    service.wait_for(job)
    with pause(service):
        page.goto(f"/board?job={job}")
        detail = page.get_by_role("dialog", name=mark)
        detail.get_by_role("button", name="Retry").click()
        question = page.get_by_role("dialog", name="Retry this job?")
        expect(question).to_contain_text("queued again with fresh attempts")
        question.get_by_role("button", name="Retry").click()
        expect(page.get_by_text("1 job queued again.")).to_be_visible()
        expect(detail.locator(".top .badge")).to_have_text("pending")
        expect(row(page, mark).locator(".badge")).to_have_text("pending")
        expect(detail.locator(".timeline")).to_contain_text("by 127.0.0.1")
        expect(page.locator("#audit li").first).to_contain_text(f"retried job {job[:8]}")
        assert status(service, job) == "pending"


def test_cancelling_asks_first(page: Page, service: Service, mark: str, paused: None) -> None:
    jobs = [service.submit([(f"{mark}-{number}.png", SMALL)]) for number in range(3)]
    page.goto(f"/board?text={mark}")
    row(page, f"{mark}-1.png").get_by_role("link").focus()
    page.keyboard.press("c")
    question = page.get_by_role("dialog", name="Cancel this job?")
    question.get_by_role("button", name="Keep").click()
    expect(question).to_be_hidden()
    assert [status(service, job) for job in jobs] == ["pending"] * 3

    page.keyboard.press("c")
    question.get_by_role("button", name="Cancel jobs").click()
    expect(row(page, f"{mark}-1.png").locator(".badge")).to_have_text("cancelled")
    assert [status(service, job) for job in jobs] == ["pending", "cancelled", "pending"]


def test_an_act_on_a_range_and_on_all_that_match(page: Page, service: Service, mark: str, paused: None) -> None:
    jobs = [service.submit([(f"{mark}-{number:02}.png", SMALL)]) for number in range(30)]
    page.goto(f"/board?text={mark}&limit=25")
    boxes = page.locator("#rows input")
    expect(boxes).to_have_count(25)
    boxes.nth(2).click()
    boxes.nth(5).click(modifiers=["Shift"])
    acts = page.get_by_role("region", name="Acts")
    expect(acts).to_contain_text("4 jobs selected")
    acts.get_by_role("button", name="Priority").click()
    page.get_by_role("radio", name="high").check()
    page.get_by_role("button", name="Set priority").click()
    expect(page.get_by_text("4 jobs given high priority.")).to_be_visible()
    assert [service.job(job)["priority"] for job in jobs[24:28]] == ["high"] * 4

    page.get_by_role("button", name="Older ›").click()
    expect(boxes).to_have_count(5)
    expect(page.locator("#list-count")).to_have_text("26–30 of 30")
    page.get_by_role("button", name="‹ Newer").click()
    expect(boxes).to_have_count(25)

    page.get_by_label("Select every job on this page").check()
    acts.get_by_role("button", name="Select all 30 that match").click()
    acts.get_by_role("button", name="Cancel").click()
    question = page.get_by_role("dialog", name="Cancel 30 jobs?")
    expect(question).to_contain_text(f"every job that matches: like “{mark}”")
    # Nobody was asked about one that comes in now.
    late = service.submit([(f"{mark}-late.png", SMALL)])
    question.get_by_role("button", name="Cancel jobs").click()
    expect(page.get_by_text("30 jobs cancelled.")).to_be_visible()
    assert {status(service, job) for job in jobs} == {"cancelled"}
    assert status(service, late) == "pending"
    expect(page.locator("#rows .badge").last).to_have_text("cancelled")
    expect(page.locator("#audit li").first).to_contain_text("30 jobs")


def test_two_tabs_see_each_others_acts(
    page: Page, context: BrowserContext, watch: Watch, service: Service, mark: str
) -> None:
    other = context.new_page()
    watch.follow(other)
    with pause(service):
        page.goto("/board")
        other.goto(f"/board?text={mark}")
        expect(other.get_by_text("The queue is paused. What runs")).to_be_visible()
        live(page)
        live(other)

        # One who waits is shown at once; where somebody reads, others are only counted.
        job = service.submit([(f"{mark}-one.png", SMALL)])
        expect(row(other, f"{mark}-one.png")).to_be_visible()
        service.submit([(f"{mark}-two.png", SMALL)])
        expect(other.get_by_role("button", name="1 new job — show")).to_be_visible()
        expect(row(other, f"{mark}-two.png")).to_have_count(0)
        other.get_by_role("button", name="1 new job — show").click()
        expect(row(other, f"{mark}-two.png")).to_be_visible()

        page.goto(f"/board?job={job}")
        page.get_by_role("dialog", name=mark).get_by_role("button", name="Cancel").click()
        page.get_by_role("button", name="Cancel jobs").click()
        expect(row(other, f"{mark}-one.png").locator(".badge")).to_have_text("cancelled")

        page.keyboard.press("Escape")
        page.get_by_role("button", name="Resume").click()
        page.get_by_role("dialog", name="Resume the queue?").get_by_role("button", name="Resume").click()
        for tab in (page, other):
            expect(tab.get_by_text("The queue is paused. What runs")).to_be_hidden()
        expect(row(other, f"{mark}-two.png").locator(".badge")).to_have_text("completed")
        expect(page.locator("#audit li").first).to_contain_text("resumed the queue")

        page.get_by_role("button", name="Pause").click()
        page.get_by_role("dialog", name="Pause the queue?").get_by_role("button", name="Pause").click()
        expect(other.get_by_text("The queue is paused. What runs")).to_be_visible()


def test_what_happens_before_the_stream_begins_is_shown(page: Page, service: Service, mark: str, paused: None) -> None:
    held: list[Route] = []
    page.route("**/queue/events*", lambda route: held.append(route))
    job = service.submit([(f"{mark}.png", SMALL)])
    page.goto(f"/board?status=pending&text={mark}&job={job}")
    detail = page.get_by_role("dialog", name=mark).locator(".top .badge")
    expect(detail).to_have_text("pending")
    expect(badge(page, mark)).to_have_text("pending")
    cancel(service, job)
    for route in held:
        route.continue_()
    live(page)
    expect(detail).to_have_text("cancelled")
    # Though it is no longer among those that the list looks for.
    expect(badge(page, mark)).to_have_text("cancelled")


@pytest.mark.parametrize("ask", ["load", "refresh"])
def test_an_answer_takes_nothing_back_that_the_stream_has_told(
    page: Page, service: Service, mark: str, paused: None, ask: str
) -> None:
    job = service.submit([(f"{mark}.png", SMALL)])
    page.goto("/board")
    live(page)
    expect(badge(page, mark)).to_have_text("pending")
    held: list[tuple[Route, APIResponse]] = []
    page.route("**/queue/jobs?*", lambda route: held.append((route, route.fetch())))
    if ask == "load":
        page.get_by_role("searchbox").fill(mark)
    else:
        row(page, mark).get_by_role("checkbox").check()
        page.get_by_role("region", name="Acts").get_by_role("button", name="Priority").click()
        page.get_by_role("button", name="Set priority").click()
    while not held:
        page.wait_for_timeout(10)
    cancel(service, job)
    expect(badge(page, mark)).to_have_text("cancelled")
    with page.expect_event("requestfinished", lambda request: "/queue/jobs?" in request.url):
        for route, answer in held:
            route.fulfill(response=answer)
    expect(page.locator("#list[aria-busy]")).to_have_count(0)
    page.evaluate("() => new Promise((shown) => requestAnimationFrame(() => requestAnimationFrame(shown)))")
    assert badge(page, mark).text_content() == "cancelled"


def test_an_act_that_breaks_off_says_what_was_done(
    page: Page, service: Service, watch: Watch, mark: str, paused: None
) -> None:
    watch.expected.append("ERR_FAILED")
    jobs = [service.submit([(f"{mark}-{number:02}.png", SMALL)]) for number in range(26)]
    turns = iter(range(2))

    def ten_then_lost(route: Route) -> None:
        if next(turns):
            route.abort()
        else:
            route.continue_(post_data=json.dumps({**(route.request.post_data_json or {}), "limit": 10}))

    page.route("**/queue/jobs/act", ten_then_lost)
    page.goto(f"/board?text={mark}&limit=25")
    page.get_by_label("Select every job on this page").check()
    acts = page.get_by_role("region", name="Acts")
    acts.get_by_role("button", name="Select all 26 that match").click()
    acts.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Cancel jobs").click()
    expect(page.get_by_text("10 jobs cancelled. Then it broke off: The service cannot be reached.")).to_be_visible()
    assert [status(service, job) for job in jobs].count("cancelled") == 10
    expect(page.locator("#rows .badge", has_text="cancelled").first).to_be_visible()


def test_names_are_text(page: Page, service: Service, mark: str) -> None:
    name = f"{mark}<img src=x onerror=alert(1)>.png"
    service.wait_for(service.submit([(name, SMALL)]))
    page.on("dialog", lambda dialog: pytest.fail(f"a name was run: {dialog.message}"))
    page.goto(f"/board?text={mark}")
    row(page, name).get_by_role("link").click()
    expect(page.get_by_role("dialog").get_by_text(name).first).to_be_visible()
    assert page.locator("img[src='x'], img[onerror]").count() == 0


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_everybody_can_use_it(page: Page, service: Service, mark: str, paused: None, theme: str, width: int) -> None:
    job = service.submit([(f"{mark}.png", SMALL), (f"{mark} with another name.png", SMALL)], priority="high")
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme="dark" if theme == "dark" else "light", reduced_motion="reduce")
    page.goto("/board")
    expect(row(page, mark)).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    row(page, mark).get_by_role("checkbox").check()
    assert violations(page) == []
    page.get_by_role("region", name="Acts").get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert violations(page) == []
    page.get_by_role("button", name="Keep").click()
    page.goto(f"/board?job={job}")
    expect(page.get_by_role("dialog", name=mark).locator(".files li")).to_have_count(2)
    assert violations(page) == []


def test_what_is_not_there_says_so(page: Page, watch: Watch) -> None:
    watch.expected.append("404")
    page.goto(f"/board?job={uuid4()}")
    detail = page.get_by_role("dialog")
    expect(detail.get_by_role("alert")).to_contain_text("There is no job")
    detail.get_by_role("button", name="Close").click()
    expect(detail).to_be_hidden()
