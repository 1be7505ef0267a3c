"""The files of the pages: open to all, under a strict policy, small, and sent once."""

import re
from pathlib import Path

import pytest

from tests.web.site import Site
from web.page_routes import PAGE_DIR

FILES = sorted(path.relative_to(PAGE_DIR).as_posix() for path in PAGE_DIR.rglob("*") if path.is_file())
MOST_BYTES = 100_000
ADDRESS = re.compile(r"https?://(?!www\.w3\.org/2000/svg)")


@pytest.mark.parametrize("path", ["/", "/board", *(f"/page/{name}" for name in FILES)])
def test_a_page_and_its_files_need_no_token_and_carry_the_policy(locked: Site, path: str) -> None:
    answer = locked.get(path)
    assert answer.status_code == 200
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    again = locked.get(path, headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("path", ["/page/../queue/stats", "/page/%2e%2e/queue/stats", "/page//queue/stats", "/page/."])
def test_the_open_folder_leads_nowhere_else(locked: Site, path: str) -> None:
    answer = locked.send(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 404")


def test_all_pages_together_are_small(site: Site) -> None:
    """As they are sent: a browser asks for them zipped."""
    answers = [site.get(f"/page/{name}", stream=True) for name in FILES]
    assert sum(len(answer.raw.read(decode_content=False)) for answer in answers) < MOST_BYTES


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_inline_and_nothing_comes_from_elsewhere(name: str) -> None:
    text = Path(PAGE_DIR, name).read_text("utf-8")
    assert not ADDRESS.search(text)
    if name.endswith(".html"):
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", text)
