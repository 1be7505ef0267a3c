"""A service that a test makes up, for what the real one never says and networks do."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.cli.command_line import CommandLine

LIMITS = {"limits": {"max_files_per_job": 5, "max_upload_bytes": 10**8, "max_request_bytes": 10**9}}
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
