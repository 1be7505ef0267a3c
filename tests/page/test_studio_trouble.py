"""The studio where something goes wrong: on the way to the service, in it, or with the picture."""

import io
import os
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Page, Route, expect

from tests.page.conftest import Watch
from tests.page.gestures import drop, paste
from tests.page.studio import downloaded, opened, summary, tiles_of
from tests.pictures import encode, ramp
from tests.service import SAMPLES, Service, running


def test_addresses(page: Page, service: Service, watch: Watch) -> None:
    watch.expected.append(r"status of 422")
    opened(page)
    paste(page, text_plain=f"{service.url}/private%20place.jpg")
    expect(tiles_of(page)).to_have_count(1)
    summary(page, "1 failed")
    expect(page.locator("#shown-name")).to_have_text("private%20place.jpg")
    expect(page.locator("#state")).to_contain_text("port")
    expect(page.get_by_role("button", name="Try again")).to_have_count(0)
    page.get_by_role("button", name="Pictures by address").click()
    page.get_by_label("Address", exact=True).fill(f"{service.url}/other.jpg")
    page.get_by_role("button", name="Fetch").click()
    summary(page, "2 failed")
    drop(page, [], f"{service.url}/dragged.jpg")
    summary(page, "3 failed")
    expect(page.locator("#shown-name")).to_have_text("dragged.jpg")


def test_names_are_text(page: Page, watch: Watch, tmp_path: Path) -> None:
    watch.expected.append("status of 404")  # What is damaged has no preview.
    name = "<img src=x onerror=alert(1)><b>bold.jpg"
    strange = tmp_path / name
    strange.write_bytes(SAMPLES[1].read_bytes()[:9000])
    opened(page)
    drop(page, [strange])
    summary(page, "1 failed")
    for _ in range(2):
        expect(page.locator("#shown-name")).to_have_text(name)
        page.locator("#troubles summary").click()
        expect(page.locator("#troubles li button").first).to_have_text(name)
        page.reload()
    summary(page, "1 failed")
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(page.locator(".toasts")).to_contain_text(f"{name} was removed.")
    expect(page.locator("body b, img[src=x]")).to_have_count(0)


def test_offline(page: Page, watch: Watch) -> None:
    watch.expected.append(r"ERR_INTERNET_DISCONNECTED")
    opened(page)
    page.context.set_offline(True)
    drop(page, SAMPLES[:1])
    expect(page.get_by_text("The service cannot be reached.")).to_be_visible()
    page.context.set_offline(False)
    summary(page, "1 picture done")


def test_a_file_that_has_changed_holds_no_other_up(page: Page, watch: Watch, tmp_path: Path) -> None:
    watch.expected.append("ERR_INTERNET_DISCONNECTED|ERR_UPLOAD_FILE_CHANGED")
    opened(page)
    page.context.set_offline(True)
    edited = tmp_path / "edited.jpg"
    edited.write_bytes(SAMPLES[0].read_bytes())
    drop(page, [edited, SAMPLES[1]])
    expect(page.locator("#held")).to_contain_text("The service cannot be reached.")
    # Browsers tell by its time, in seconds.
    os.utime(edited, (0, 0))
    page.context.set_offline(False)
    summary(page, "1 picture done, 1 failed")
    expect(page.locator("#state")).to_contain_text("was changed or removed after it was added")
    expect(page.get_by_role("button", name="Try again")).to_have_count(0)


def test_a_picture_that_does_not_get_through_is_given_up(page: Page, watch: Watch) -> None:
    watch.expected.append("ERR_CONNECTION_RESET")
    opened(page)
    page.route("**/queue/submit?*", lambda route: route.abort("connectionreset"))
    drop(page, SAMPLES[:1])
    expect(page.locator("#state")).to_contain_text("The connection broke each time")
    page.unroute("**/queue/submit?*")
    page.get_by_role("button", name="Try again").click()
    summary(page, "1 picture done")


def test_cancelled_when_all_was_sent(page: Page, paused: Service) -> None:
    opened(page)
    drop(page, SAMPLES[:1])
    requests.post(f"{paused.url}/queue/resume", timeout=10)
    summary(page, "1 picture done")
    requests.post(f"{paused.url}/queue/pause", timeout=10)
    page.locator("summary", has_text="Options").click()
    page.get_by_label("Crop to the subject").check()
    sent: list[Route] = []
    page.route("**/queue/submit?*", lambda route: sent.append(route))
    page.get_by_role("button", name="Do this one again").click()
    page.get_by_role("button", name="Cancel").click()
    expect(tiles_of(page).nth(1)).to_have_accessible_name(f"{SAMPLES[0].name}: Cancelled")
    with page.expect_response("**/cancel?*") as cancelled:
        sent[0].continue_()
    assert cancelled.value.ok


def test_a_question_that_was_refused_is_asked_again(page: Page, watch: Watch) -> None:
    watch.expected.append("status of 503")
    refused: list[str] = []

    def once(route: Route) -> None:
        answer = route.fetch()
        if answer.json()["completed_at"] and not refused:
            refused.append(route.request.url)
            route.fulfill(status=503, json={"detail": "Busy.", "code": "not_in_time"})
        else:
            route.fulfill(response=answer)

    page.route(re.compile(r"/queue/job/[^/]+$"), once)
    opened(page)
    # Long enough for the page to see it at work: what waits is asked for anyway.
    page.locator("summary", has_text="Options").click()
    page.get_by_label("Finer hair").check()
    drop(page, SAMPLES[:1])
    summary(page, "1 picture done")
    assert refused


def test_a_connection_lost_in_the_middle_of_a_download(page: Page) -> None:
    # What a browser says then; between it and a service on the same machine no connection breaks by itself.
    page.add_init_script("Response.prototype.blob = () => Promise.reject(new TypeError('network error'))")
    opened(page)
    drop(page, SAMPLES[:2])
    summary(page, "2 pictures done")
    page.click("#download")
    expect(page.locator(".toasts")).to_contain_text("The service cannot be reached.")
    page.click("#download-all")
    expect(page.locator(".toasts")).to_contain_text("2 pictures are not in the ZIP.")
    expect(page.locator("#download-all")).to_have_text("Download all")


def test_a_download_waits_for_a_busy_service(page: Page, watch: Watch) -> None:
    watch.expected.append("status of 503")
    opened(page)
    drop(page, SAMPLES[:2])
    summary(page, "2 pictures done")
    page.get_by_role("radio", name="Mint").check()
    busy = {"status": 503, "headers": {"Retry-After": "1"}, "json": {"detail": "Busy.", "code": "not_in_time"}}
    page.route("**/remove?*", lambda route: route.fulfill(**busy), times=1)
    _, packed = downloaded(page, "#download-all")
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert len(archive.namelist()) == 2


def test_a_cancelled_composition_says_so(page: Page) -> None:
    opened(page)
    drop(page, SAMPLES[:1])
    summary(page, "1 picture done")
    page.get_by_role("radio", name="Mint").check()
    page.route("**/remove?*", lambda route: route.fulfill(status=202, json={"job_id": "x"}))
    cancelled = {"status": "cancelled", "completed_at": "2026-11-22T00:00:00Z", "error": None, "results": None}
    page.route("**/queue/job/x", lambda route: route.fulfill(json=cancelled))
    page.click("#download")
    expect(page.locator(".toasts")).to_contain_text("The job was cancelled.")


@pytest.fixture
def narrow(tmp_path: Path) -> Iterator[Service]:
    """A service that takes little, and not from everybody."""
    limits = {"max_pending_files": "2", "max_upload_bytes": "150000", "api_token": "open sesame"}
    with running(tmp_path / "narrow", **limits) as service:
        service.wait_until("/ready")
        yield service


def test_full_queue_token_and_limits(page: Page, narrow: Service, watch: Watch, tmp_path: Path) -> None:
    watch.home = narrow.url
    watch.expected += [r"status of 4(01|22|29)"]
    token = {"X-API-Key": "open sesame"}
    requests.post(f"{narrow.url}/queue/pause", headers=token, timeout=10)
    page.goto(narrow.url)
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Token").fill("close sesame")
    dialog.get_by_role("button", name="Open").click()
    expect(dialog.get_by_role("alert")).to_contain_text("not the token")
    dialog.get_by_label("Token").fill("open sesame")
    dialog.get_by_role("button", name="Open").click()
    expect(dialog).to_have_count(0)
    expect(page.locator("#limits")).to_contain_text("megapixels")

    huge, letter = tmp_path / "huge.jpg", tmp_path / "letter.txt"
    huge.write_bytes(SAMPLES[0].read_bytes() + bytes(200_000))
    letter.write_text("Dear reader")
    drop(page, [huge, letter])
    expect(page.locator("#state")).to_contain_text("at most 150 kB are accepted")
    page.get_by_text("2 pictures did not work").click()
    expect(page.locator("#troubles")).to_contain_text("The file is not a picture.")
    page.get_by_role("button", name="Clear").click()

    small = tmp_path / "small.jpg"
    small.write_bytes(encode(ramp(96, 64), "JPEG"))
    drop(page, [small] * 4)
    expect(page.locator("#held")).to_contain_text("2 pictures wait here and will be sent then.")
    requests.post(f"{narrow.url}/queue/resume", headers=token, timeout=10)
    page.get_by_role("button", name="Try now").click()
    summary(page, "4 pictures done")
