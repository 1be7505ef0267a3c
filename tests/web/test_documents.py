"""The interactive documents work without a network."""

import re

import pytest
import requests

from tests.web.shapes import problem
from tests.web.site import Site


def links(page: str) -> list[str]:
    """What a browser loads with the page."""
    return re.findall(r"<(?:script|link|img)[^>]* (?:src|href)=\"([^\"]+)\"", page)


def test_all_that_the_page_loads_comes_from_here(site: Site) -> None:
    answer = site.get("/docs")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "url: '/openapi.json'" in answer.text
    assert len(links(answer.text)) == 3
    kinds = {"js": "text/javascript", "css": "text/css", "png": "image/png"}
    for place in links(answer.text):
        asset = site.get(place)
        assert (asset.status_code, len(asset.content) > 500) == (200, True), place
        assert asset.headers["Content-Type"].startswith(kinds[place.rpartition(".")[2]])
        assert site.get(place, headers={"If-None-Match": asset.headers["ETag"]}).status_code == 304
    assert "//" not in re.sub(r"<!--.*?-->", "", answer.text), "no other host"


def test_head_does_as_well(site: Site) -> None:
    assert requests.head(f"{site.url}/docs", timeout=10).status_code == 200


@pytest.mark.parametrize("path", ["/redoc", "/docs/oauth2-redirect", "/docs/assets/", "/docs/assets/../app.py"])
def test_there_is_nothing_else(site: Site, path: str) -> None:
    problem(site.get(path), 404, "not_found")


def test_a_token_locks_them_too(locked: Site) -> None:
    for path in ("/docs", "/docs/assets/swagger-ui.css"):
        problem(locked.get(path), 401, "unauthorized")
        assert locked.get(path, headers={"X-API-Key": "s3cret"}).status_code == 200
