"""Services that are away, busy, broken or something else: one line on stderr, and never a traceback."""

import contextlib
import json
import resource
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command_line import CommandLine
from tests.cli.test_submit import CAT, files_below
from tests.service import Service

LIMITS = {"limits": {"max_files_per_job": 5, "max_request_bytes": 10**9}}
QUEUED = {"job_id": "1", "files_count": 1, "model": "u2netp", "rejected": []}
ENTRY = {"index": 0, "filename": "cat.jpg", "status": "completed", "url": "/x", "content_type": "image/png"}
JOB = {"id": "1", "status": "completed", "progress": {"total": 1, "processed": 1, "failed": 0}, "results": [ENTRY]}


class Request(BaseHTTPRequestHandler):
    """One request to a service that a test makes up."""

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def answer(self, status: int, content: bytes | dict[str, Any], **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(json.dumps(content).encode() if isinstance(content, dict) else content)

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing."""


@contextlib.contextmanager
def serving(handle: Callable[[Request], None]) -> Iterator[CommandLine]:
    """The command line for a service whose every answer comes from `handle`."""

    class Handler(Request):
        def do_GET(self) -> None:
            handle(self)

        def do_POST(self) -> None:
            handle(self)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield CommandLine(f"http://127.0.0.1:{server.server_port}")
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("command", [["stats"], ["submit", str(CAT)], ["status", "1"], ["list", "--json"]], ids=str)
def test_no_service(command: list[str]) -> None:
    done = CommandLine("http://127.0.0.1:1")(*command)
    assert (done.returncode, done.stdout) == (1, "")
    assert "http://127.0.0.1:1" in done.stderr
    assert "`make run`" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_busy_service_is_waited_for() -> None:
    bodies: list[bytes] = []

    def handle(request: Request) -> None:
        if request.command == "GET":
            request.answer(200, LIMITS)
            return
        bodies.append(request.body())
        busy = {"detail": "Too many.", "code": "busy"}
        request.answer(429, busy, Retry_After="0") if len(bodies) < 3 else request.answer(202, QUEUED)

    with serving(handle) as cli:
        done = cli("submit", CAT)
    assert done.returncode == 0
    assert len(bodies) == 3
    assert all(CAT.read_bytes() in body for body in bodies)
    assert done.stderr == "The service is busy: trying again in 0 s.\n" * 2


def test_patience_has_an_end() -> None:
    with serving(lambda request: request.answer(429, b"", Retry_After="86400")) as cli:
        done = cli("stats")
    assert done.returncode == 1
    assert done.stderr == f"{cli.url} is busy and asks to come back in 86400 s. Try again later.\n"


def test_lost_during_a_download(tmp_path: Path) -> None:
    def handle(request: Request) -> None:
        if request.path.endswith("/result/0"):
            request.answer(200, b"half of it", Content_Length="20")
        else:
            request.answer(200, JOB)

    with serving(handle) as cli:
        done = cli("download", "1", cwd=tmp_path)
    assert done.returncode == 1
    assert "was lost" in done.stderr
    assert files_below(tmp_path) == []


@pytest.mark.parametrize(
    ("status", "content"),
    [(200, b"<html>Welcome"), (200, b'{"some": "other service"}'), (200, b"[]"), (502, b"<html>Bad"), (301, b"")],
)
def test_another_service(status: int, content: bytes) -> None:
    with serving(lambda request: request.answer(status, content, Location="https://elsewhere.example/")) as cli:
        for command in (["stats"], ["submit", str(CAT)]):
            done = cli(*command)
            assert (done.returncode, done.stdout) == (1, "")
            assert done.stderr == f"{cli.url} is not this service: it gave status {status}.\n"


@pytest.mark.parametrize("url", ["http://", "ftp://127.0.0.1/", "http://127.0.0.1:99999", "http://[::1"])
def test_an_address_that_is_none(url: str) -> None:
    done = CommandLine(url)("stats")
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1


def test_words_of_a_service_cannot_play_with_the_terminal() -> None:
    problem = {"detail": "\x1b[2JGone.\r\u202e", "code": "\x07"}
    with serving(lambda request: request.answer(404, problem)) as cli:
        assert cli("status", "1").stderr == r"\x1b[2JGone.\r\u202e" + "\n"


def test_names_of_a_service_stay_in_the_folder(tmp_path: Path) -> None:
    job = JOB | {"results": [ENTRY | {"filename": name} for name in ("../../up.jpg", "/etc/passwd", "..", "")]}
    out = tmp_path / "a" / "b" / "c"
    with serving(lambda request: request.answer(200, b"png" if "/result/" in request.path else job)) as cli:
        assert cli("download", "1", "--out", out).returncode == 0
    assert files_below(tmp_path) == sorted(f"a/b/c/{path.name}" for path in out.iterdir())
    assert len(files_below(out)) == 4


def test_no_room_for_a_result(cli: CommandLine, service: Service, tmp_path: Path) -> None:
    job_id = service.submit([("cat.jpg", CAT.read_bytes())])
    service.wait_for(job_id)

    def almost_full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))

    done = cli("download", job_id, cwd=tmp_path, before=almost_full)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "Writing a result: File too large.\n"
    assert files_below(tmp_path) == []
