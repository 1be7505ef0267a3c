"""What tests of the studio do with its page and look at on it."""

import json
import time
from collections.abc import Callable

from playwright.sync_api import Locator, Page, expect

from tests.page.conftest import PATIENCE_MS
from tests.service import POLL_SECONDS


def jobs_of(page: Page) -> list[str]:
    """Ids of the jobs that this browser remembers, in the order of the shelf."""
    return [each["id"] for each in json.loads(page.evaluate("localStorage['studio.jobs'] ?? '[]'"))]


def opened(page: Page) -> None:
    """Until it knows the models: all else is there by then."""
    page.goto("/")
    expect(page.locator("#model option").first).to_be_attached()


def tiles_of(page: Page) -> Locator:
    return page.get_by_role("listbox", name="Pictures").get_by_role("option")


def wait_for(true: Callable[[], bool]) -> None:
    """Poll. Not the browser's own waiting: that evaluates text, which the pages forbid."""
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while not true():
        assert time.monotonic() < deadline
        time.sleep(POLL_SECONDS)


def summary(page: Page, text: str) -> None:
    expect(page.locator("#progress")).to_contain_text(text)


def downloaded(page: Page, button: str) -> tuple[str, bytes]:
    with page.expect_download() as started:
        page.click(button)
    return started.value.suggested_filename, started.value.path().read_bytes()
