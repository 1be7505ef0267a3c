"""The studio where something goes wrong: on the way to the service, in it, or with the picture."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Page, expect

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


def test_offline(page: Page, watch: Watch) -> None:
    watch.expected.append(r"ERR_INTERNET_DISCONNECTED")
    opened(page)
    page.context.set_offline(True)
    drop(page, SAMPLES[:1])
    expect(page.get_by_text("The service cannot be reached.")).to_be_visible()
    page.context.set_offline(False)
    summary(page, "1 picture done")


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
    expect(page.locator("#held")).to_contain_text("2 pictures wait here and will be sent by themselves.")
    requests.post(f"{narrow.url}/queue/resume", headers=token, timeout=10)
    page.get_by_role("button", name="Try now").click()
    summary(page, "4 pictures done")
