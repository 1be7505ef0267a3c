"""The studio where something goes wrong: on the way to the service, in it, or with the picture."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Page, expect

from tests.page.conftest import Watch
from tests.page.gestures import drop, paste
from tests.page.studio import opened, summary, tiles_of
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
