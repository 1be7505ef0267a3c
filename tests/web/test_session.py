"""A browser that was given the token once: it is let in by a cookie, from our own pages only."""

from collections.abc import Iterator

import pytest

from tests.web.shapes import problem
from tests.web.site import Site
from web.access import SESSION_COOKIE, session_of

JSON = {"Content-Type": "application/json"}
COOKIE = f"{SESSION_COOKIE}={session_of('s3cret')}"


def test_the_right_token_opens_everything_until_the_browser_ends_the_session(locked: Site) -> None:
    opened = locked.post("/session", json={"token": "s3cret"})
    assert opened.status_code == 204
    told = opened.headers["Set-Cookie"]
    assert told.startswith(f"{SESSION_COOKIE}=")
    for word in ("HttpOnly", "SameSite=strict", "Path=/"):
        assert word in told
    assert "s3cret" not in told
    assert "max-age" not in told.lower()
    cookie = told.partition(";")[0]
    locked.session.cookies.clear()
    assert locked.get("/queue/stats", headers={"Cookie": cookie}).status_code == 200
    ended = locked.session.delete(f"{locked.url}/session", headers={"Cookie": cookie}, timeout=10)
    assert (ended.status_code, ended.headers["Set-Cookie"].partition(";")[0]) == (204, f'{SESSION_COOKIE}=""')


@pytest.mark.parametrize("token", ["", "wrong", "s3cre", "s3cret2", "S3CRET", "ü"])
def test_a_wrong_token_opens_nothing(locked: Site, token: str) -> None:
    refused = locked.post("/session", json={"token": token})
    problem(refused, 401, "unauthorized")
    assert "Set-Cookie" not in refused.headers


@pytest.mark.parametrize(
    "cookie",
    [
        f"{SESSION_COOKIE}=",
        f"{SESSION_COOKIE}=s3cret",
        f"{SESSION_COOKIE}={session_of('other')}",
        f"other={session_of('s3cret')}",
        f"{SESSION_COOKIE}=\xe9",
        "=;;;",
    ],
)
def test_another_cookie_opens_nothing(locked: Site, cookie: str) -> None:
    problem(locked.get("/queue/stats", headers={"Cookie": cookie.encode("latin-1")}), 401, "unauthorized")


@pytest.mark.parametrize(
    "sent",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
def test_a_page_of_another_site_cannot_use_the_cookie(locked: Site, sent: dict[str, str]) -> None:
    refused = locked.post("/queue/pause", headers={"Cookie": COOKIE, **sent})
    problem(refused, 401, "unauthorized")
    assert not locked.queue.is_paused()


@pytest.mark.parametrize("site", ["same-origin", "none"])
def test_our_own_page_can(locked: Site, site: str) -> None:
    sent = {"Cookie": COOKIE, "Origin": locked.url, "Sec-Fetch-Site": site}
    assert locked.post("/queue/pause", headers=sent).status_code == 200
    assert locked.queue.is_paused()


@pytest.mark.parametrize("others", ['prefs={"a":1}', "=;;;", 'a="; b=1', "x=\xe9"])
def test_cookies_of_other_services_on_this_host_do_not_matter(locked: Site, others: str) -> None:
    cookies = f"{others}; {COOKIE}; z=1".encode("latin-1")
    assert locked.get("/queue/stats", headers={"Cookie": cookies}).status_code == 200


def test_without_the_token_nobody_fills_the_memory(locked: Site) -> None:
    refused = locked.post("/session", data=b'{"token": "' + b"x" * 100_000 + b'"}', headers=JSON)
    problem(refused, 413, "request_too_large")

    def endless() -> Iterator[bytes]:
        yield b'{"token": "'
        for _ in range(100):
            yield b"x" * 10_000

    problem(locked.post("/session", data=endless(), headers=JSON), 413, "request_too_large")


def test_without_a_token_there_is_nothing_to_begin(site: Site) -> None:
    begun = site.post("/session", json={"token": "any"})
    assert (begun.status_code, begun.headers.get("Set-Cookie")) == (204, None)
