"""The real application behind a real web server in a thread, over a queue that the test holds in its hands."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import requests
import uvicorn
from fastapi import FastAPI

from app import create_app
from queue_manager import QueueManager
from settings import Settings
from web.event_feed import EventFeed
from web.waiting import Waiting

TIMEOUT_SECONDS = 10
POLL_SECONDS = 0.01


class Site:
    """Where a test sends its requests. No worker runs: a job moves only when the test says so."""

    def __init__(self, app: FastAPI, port: int) -> None:
        self.app = app
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.session = requests.Session()
        # No proxy of this machine stands between a test and its own server.
        self.session.trust_env = False

    def hold(self, queue: QueueManager) -> None:
        """Serve this queue."""
        self.app.state.queue = queue
        self.app.state.waiting = Waiting(queue)
        self.app.state.feed = EventFeed(queue, self.app.state.settings)

    @property
    def queue(self) -> QueueManager:
        queue: QueueManager = self.app.state.queue
        return queue

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.session.get(self.url + path, timeout=TIMEOUT_SECONDS, **options)

    def post(self, path: str, **options: Any) -> requests.Response:
        return self.session.post(self.url + path, timeout=TIMEOUT_SECONDS, **options)

    def submit(self, files: Sequence[tuple[str, bytes]], query: str = "", **fields: str) -> requests.Response:
        """As `requests` does it; pictures as (name, bytes)."""
        return self.post(f"/queue/submit{query}", files=[("images", file) for file in files], data=fields)

    def connection(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), TIMEOUT_SECONDS)

    def send(self, request: bytes) -> bytes:
        """Bytes as they are; whatever comes back until the server closes the connection."""
        with self.connection() as connection:
            connection.sendall(request)
            answer = b""
            while received := connection.recv(65536):
                answer += received
            return answer


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(POLL_SECONDS)


@contextlib.contextmanager
def serving(settings: Settings) -> Iterator[Site]:
    """Without the lifespan: whoever uses the site puts its queue in."""
    app = create_app(settings)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", ws="none", log_config=None))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    site = Site(app, listener.getsockname()[1])
    try:
        wait_until(lambda: server.started)
        yield site
    finally:
        site.session.close()
        server.should_exit = True
        thread.join()
        listener.close()
