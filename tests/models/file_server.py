"""A local HTTP server for weights, as well or as badly behaved as a test asks."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PATIENCE_SECONDS = 30.0

Answer = Callable[[BaseHTTPRequestHandler], None]


class FileServer:
    """`answers` maps paths to what is sent, `asked` lists the paths of all requests so far."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []
        self.was_asked = threading.Event()

    def url(self, path: str) -> str:
        return f"{self.address}{path}"


@contextmanager
def serving() -> Iterator[FileServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.asked.append(self.path)
            server.was_asked.set()
            try:
                server.answers.get(self.path, missing)(self)
            except ConnectionError:
                self.close_connection = True  # the client was killed, as some tests want

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        server = FileServer(f"http://127.0.0.1:{httpd.server_port}")
        thread = threading.Thread(target=httpd.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            httpd.shutdown()
            thread.join()


def whole(data: bytes, content_type: str = "application/octet-stream") -> Answer:
    return held(data, opened(), content_type)


def missing(handler: BaseHTTPRequestHandler) -> None:
    handler.send_error(404)


def truncated(data: bytes) -> Answer:
    """Promises everything, sends half and hangs up."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        _start(handler, len(data), "application/octet-stream")
        handler.wfile.write(data[: len(data) // 2])

    return answer


def held(data: bytes, gate: threading.Event, content_type: str = "application/octet-stream") -> Answer:
    """Sends half at once, and the rest when the gate opens."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        _start(handler, len(data), content_type)
        handler.wfile.write(data[: len(data) // 2])
        handler.wfile.flush()
        gate.wait(PATIENCE_SECONDS)
        handler.wfile.write(data[len(data) // 2 :])

    return answer


def opened() -> threading.Event:
    gate = threading.Event()
    gate.set()
    return gate


def _start(handler: BaseHTTPRequestHandler, length: int, content_type: str) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", content_type)
    handler.send_header("Content-Length", str(length))
    handler.end_headers()
