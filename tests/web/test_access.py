"""Who may call: everybody, or those with the token; pages of other sites; what they may read of an answer."""

import pytest

from app import EXPOSED
from tests.queues import PICTURE, submit
from tests.web.shapes import problem
from tests.web.site import Site

SHOP = "https://shop.example"
TOKEN = {"Authorization": "Bearer s3cret"}
PATHS = (
    "/queue/stats",
    "/queue/jobs",
    "/queue/job/x",
    "/queue/job/x/result",
    "/models",
    "/docs",
    "/openapi.json",
    "/x",
)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer s3cret2"},
        {"Authorization": "Bearer s3cre"},
        {"Authorization": "Bearer"},
        {"Authorization": "Basic s3cret"},
        {"Authorization": "s3cret"},
        {"X-API-Key": ""},
        {"X-API-Key": "S3CRET"},
        {"X-API-Key": "s3cr\xe9t"},
        {"Cookie": "token=s3cret"},
    ],
    ids=str,
)
def test_without_the_right_token_nothing_is_answered(locked: Site, path: str, headers: dict[str, str]) -> None:
    response = locked.get(path, headers=headers)
    told = problem(response, 401, "unauthorized")
    assert response.headers["WWW-Authenticate"].startswith("Bearer")
    assert "s3cret" not in response.text
    for header in ("Authorization: Bearer", "X-API-Key"):
        assert header in told["detail"]


@pytest.mark.parametrize(
    "headers",
    [
        TOKEN,
        {"Authorization": "bearer s3cret"},
        {"Authorization": "Bearer  s3cret "},
        {"X-API-Key": "s3cret"},
        {"x-api-key": "s3cret", "Authorization": "Basic dXNlcg=="},
    ],
    ids=str,
)
def test_the_token_opens_everything_in_either_header(locked: Site, headers: dict[str, str]) -> None:
    assert locked.get("/queue/stats", headers=headers).status_code == 200
    taken = locked.post("/queue/submit", headers=headers, files=[("images", ("cat.png", PICTURE))])
    assert taken.status_code == 202


@pytest.mark.parametrize("path", ["/queue/submit", "/queue/pause", "/queue/job/x/cancel"])
def test_without_the_token_nothing_can_be_changed(locked: Site, path: str) -> None:
    problem(locked.post(path, files=[("images", ("cat.png", PICTURE))]), 401, "unauthorized")
    assert locked.queue.get_job_stats()["total"] == 0
    assert not locked.queue.is_paused()


def test_monitoring_needs_no_token(locked: Site) -> None:
    assert locked.get("/health").status_code == 200
    assert locked.get("/ready").status_code == 503


@pytest.mark.parametrize("path", ["/health/", "//health", "/health/../queue/stats", "/Health", "/health%2f"])
def test_only_the_open_paths_themselves_are_open(locked: Site, path: str) -> None:
    with locked.connection() as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 401")


# --- other origins ------------------------------------------------------------------------------------------------


def preflight(site: Site, path: str, origin: str, method: str = "POST") -> dict[str, str]:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization,x-api-key,content-type",
    }
    return dict(site.session.options(site.url + path, headers=headers, timeout=10).headers)


def test_pages_of_any_site_may_submit_without_credentials(site: Site) -> None:
    allowed = preflight(site, "/queue/submit", SHOP)
    assert allowed["access-control-allow-origin"] == "*"
    assert "POST" in allowed["access-control-allow-methods"]
    assert "access-control-allow-credentials" not in allowed
    response = site.post("/queue/submit", files=[("images", ("cat.png", PICTURE))], headers={"Origin": SHOP})
    assert (response.status_code, response.headers["Access-Control-Allow-Origin"]) == (202, "*")


def test_pages_may_read_the_headers_they_need(site: Site) -> None:
    response = site.get(f"/queue/job/{submit(site.queue)}", headers={"Origin": SHOP})
    exposed = {name.strip() for name in response.headers["Access-Control-Expose-Headers"].split(",")}
    assert exposed == {*EXPOSED}
    assert exposed >= {"Location", "ETag", "Retry-After", "Content-Disposition", "Idempotent-Replayed", "X-Job-Id"}


def test_a_preflight_needs_no_token_and_may_announce_one(locked: Site) -> None:
    allowed = preflight(locked, "/queue/submit", SHOP)
    assert allowed["access-control-allow-origin"] == SHOP
    assert {"authorization", "x-api-key"} <= set(allowed["access-control-allow-headers"].replace(" ", "").split(","))


def test_a_page_can_read_that_its_token_is_wrong(locked: Site) -> None:
    response = locked.get("/queue/stats", headers={"Origin": SHOP})
    assert (response.status_code, response.headers["Access-Control-Allow-Origin"]) == (401, SHOP)


def test_an_origin_that_was_not_named_is_not_allowed(locked: Site) -> None:
    assert "access-control-allow-origin" not in preflight(locked, "/queue/submit", "https://evil.example")
    response = locked.get("/queue/stats", headers={"Origin": "https://evil.example", **TOKEN})
    assert "Access-Control-Allow-Origin" not in response.headers


@pytest.mark.parametrize("act", ["pause", "resume"])
@pytest.mark.parametrize("origin", [SHOP, "null", "http://127.0.0.1", "http://127.0.0.1:1", "http://127.0.0.1.evil"])
def test_a_page_of_another_site_cannot_act_on_the_whole_queue(site: Site, act: str, origin: str) -> None:
    site.queue.set_paused(act == "resume")
    problem(site.post(f"/queue/{act}", headers={"Origin": origin}), 403, "foreign_origin")
    assert site.queue.is_paused() is (act == "resume")


def test_our_own_page_and_scripts_can_act_on_the_whole_queue(site: Site) -> None:
    for headers in ({}, {"Origin": site.url}):
        assert site.post("/queue/pause", headers=headers).json() == {"paused": True}
        assert site.queue.is_paused()
        assert site.post("/queue/resume", headers=headers).json() == {"paused": False}
        assert not site.queue.is_paused()


def test_with_the_token_the_origin_does_not_matter(locked: Site) -> None:
    assert locked.post("/queue/pause", headers={"Origin": SHOP, **TOKEN}).json() == {"paused": True}


def test_an_origin_that_is_no_address_is_foreign(site: Site) -> None:
    problem(site.post("/queue/pause", headers={"Origin": "http://["}), 403, "foreign_origin")
