"""A real browser before a real service: Debian's Chromium, and pages that must not complain."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
import requests
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Playwright,
    Request,
    expect,
    sync_playwright,
)

from tests.service import Service, running

CHROMIUM = shutil.which("chromium")
# No sandbox: containers have no user namespaces. The others keep the browser from calling home.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE_MS = 20_000
expect.set_options(timeout=PATIENCE_MS)


# pytest-playwright keeps one loop for the whole session, in which no later test could run one of its own: here browser
# and loop end with each file.
@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    with sync_playwright() as running_playwright:
        yield running_playwright


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """With the small model, and ready. Tests share it: each has to tell its jobs from those of others."""
    with running(tmp_path_factory.mktemp("page")) as service:
        service.wait_until("/ready")
        yield service


@dataclass
class Watch:
    """What a page did that it must not do."""

    home: str
    # What was said, and of which address: that is no part of what patterns look at, "404" may be a port there.
    complaints: list[tuple[str, str]] = field(default_factory=list)
    # Patterns of console errors that a test brings about, such as the browser's line on an answer 422.
    expected: list[str] = field(default_factory=list)

    def follow(self, page: Page) -> None:
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.complaints.append((f"uncaught: {error}", page.url)))
        page.on("request", self._request)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append((f"console: {message.text}", str(message.location.get("url"))))

    def _request(self, request: Request) -> None:
        if not request.url.startswith((f"{self.home}/", "blob:", "data:")):
            self.complaints.append(("request elsewhere", request.url))

    def unexpected(self) -> list[tuple[str, str]]:
        return [each for each in self.complaints if not any(re.search(known, each[0]) for known in self.expected)]


@pytest.fixture
def watch(service: Service) -> Watch:
    return Watch(service.url)


@pytest.fixture
def context(browser: Browser, service: Service) -> Iterator[BrowserContext]:
    """A browser that was never here: nothing in its memory, relative addresses mean the service."""
    context = browser.new_context(
        base_url=service.url,
        viewport={"width": 1280, "height": 800},
        permissions=["clipboard-read", "clipboard-write"],
        # What moves slowly is measured at some point of its way.
        reduced_motion="reduce",
    )
    context.set_default_timeout(PATIENCE_MS)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext, watch: Watch) -> Iterator[Page]:
    """An empty tab. Fails its test on a console error, an uncaught error, or a request to another host."""
    page = context.new_page()
    watch.follow(page)
    # From now on: a file chooser that is only listened for when it is about to open may open before that.
    page.on("filechooser", lambda _: None)
    yield page
    assert watch.unexpected() == []


@pytest.fixture
def paused(service: Service) -> Iterator[Service]:
    requests.post(f"{service.url}/queue/pause", timeout=10)
    yield service
    requests.post(f"{service.url}/queue/resume", timeout=10)


def violations(page: Page) -> list[str]:
    """What axe-core has against the page as it stands, by WCAG 2.2 AA and its own best practices."""
    found = Axe().run(page).response["violations"]
    return [f"{each['id']}: {each['help']} {[node['html'] for node in each['nodes']][:3]}" for each in found]
