"""What both pages have in common: the stream, the question for the token, answers that do not come through."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Page, expect

from tests.page.conftest import Watch
from tests.service import Service, running
from tests.strangers import stranger

# Longer than many polls.
LONG_MS = 60_000


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Service]:
    with running(tmp_path / "locked", api_token="open sesame") as service:
        service.wait_until("/ready")
        yield service


def requests_to(page: Page, path: str) -> list[str]:
    """A list that grows with each request to the path."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if path in request.url else None)
    return asked


def test_the_question_for_the_token_stays_and_nothing_piles_up_behind_it(
    page: Page, locked: Service, watch: Watch
) -> None:
    watch.home = locked.url
    watch.expected.append("status of 401")
    asked = requests_to(page, "/queue/stats")
    page.clock.install()
    with page.expect_response("**/queue/events"):
        page.goto(f"{locked.url}/board")
    token = page.get_by_role("dialog").get_by_label("Token")
    for _ in range(3):
        page.keyboard.press("Escape")
        expect(token).to_be_visible()
    page.clock.run_for(LONG_MS)
    # Of the page at its beginning, and of the first poll.
    assert len(asked) <= 2
    token.fill("open sesame")
    token.press("Enter")
    expect(page.locator("#run-state")).to_have_text("Running")
    page.clock.run_for(LONG_MS)
    expect(page.locator("#link-state")).to_have_text("Live")


def test_a_tab_that_nobody_has_seen_has_no_stream(page: Page) -> None:
    # The browser of the tests shows every tab.
    page.add_init_script("Object.defineProperty(document, 'hidden', { configurable: true, get: () => true })")
    asked = requests_to(page, "/queue/events")
    page.goto("/board")
    expect(page.locator("#run-state")).to_have_text("Running")
    assert asked == []
    page.evaluate("() => { delete document.hidden; document.dispatchEvent(new Event('visibilitychange')); }")
    expect(page.locator("#link-state")).to_have_text("Live")
    assert len(asked) == 1


def test_an_answer_that_is_cut_off_is_a_lost_connection(page: Page, service: Service, watch: Watch) -> None:
    watch.expected += ["ERR_CONTENT_LENGTH_MISMATCH", "status of 502"]
    cut = ["/queue/jobs?"]

    def pass_on(request: bytes, connection: socket.socket) -> None:
        """As a proxy would that does not know streams, and ends with the list half sent."""
        path = request.split()[1].decode()
        if path.startswith("/queue/events"):
            connection.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        answer = requests.get(f"{service.url}{path}", headers={"Accept-Encoding": "identity"}, timeout=10)
        head = f"Content-Type: {answer.headers['Content-Type']}\r\nContent-Length: {len(answer.content)}\r\n"
        part = len(answer.content) // 2 if any(path.startswith(each) for each in cut) else None
        connection.sendall(f"HTTP/1.1 {answer.status_code} -\r\n{head}Connection: close\r\n\r\n".encode())
        connection.sendall(answer.content[:part])

    with stranger(pass_on) as proxy:
        watch.home = f"http://127.0.0.1:{proxy.port}"
        page.goto(f"{watch.home}/board")
        expect(page.get_by_role("alert")).to_contain_text("The service cannot be reached.")
        cut.clear()
        page.get_by_role("button", name="Try again").click()
        expect(page.get_by_role("alert")).to_have_count(0)
        page.goto("about:blank")
