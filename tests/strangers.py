"""Servers of strangers, in threads: they say whatever a test has them say, and note who came."""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

PATIENCE_SECONDS = 20.0
POLL_SECONDS = 0.01
# Between two bytes of a server that drips.
DRIP_SECONDS = 0.02

# What a server does with a connection, once the request has come: its text, and the socket to answer through.
Speech = Callable[[bytes, socket.socket], None]


@dataclass
class Stranger:
    """A server: where it listens, the ports that connections came from, and what was asked."""

    port: int
    callers: list[int] = field(default_factory=list)
    requests: list[bytes] = field(default_factory=list)
    server_names: list[str | None] = field(default_factory=list)
    knocks: set[int] = field(default_factory=set)

    @property
    def connections(self) -> int:
        return len(set(self.callers) - self.knocks)

    def connections_so_far(self) -> int:
        """Even those that nobody accepted yet: a knock of our own comes after them."""
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE_SECONDS) as knocking:
            knock = knocking.getsockname()[1]
            self.knocks.add(knock)
            deadline = time.monotonic() + PATIENCE_SECONDS
            while knock not in self.callers:
                assert time.monotonic() < deadline
                time.sleep(POLL_SECONDS)
        return self.connections


def request_from(connection: socket.socket) -> bytes:
    asked = b""
    while b"\r\n\r\n" not in asked and (received := connection.recv(65536)):
        asked += received
    return asked


@contextlib.contextmanager
def stranger(
    speech: Speech, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None, waits: bool = True
) -> Iterator[Stranger]:
    """A server; `waits` for a request before it speaks."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, dualstack_ipv6=host == "::")
    listener_port: int = listener.getsockname()[1]
    told = Stranger(listener_port)
    if tls is not None:
        tls.sni_callback = lambda _socket, name, _context: told.server_names.append(name)
    open_connections: list[socket.socket] = []
    threads = []

    def serve(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as closing:
            if tls is not None:
                connection = tls.wrap_socket(connection, server_side=True)
                open_connections.append(connection)
            closing.enter_context(connection)
            asked = request_from(connection) if waits else b""
            if waits and not asked:  # it only knocked
                return
            told.requests.append(asked)
            speech(asked, connection)
            connection.shutdown(socket.SHUT_WR)
            # Closing with unread bytes would reset the connection, and the answer might be lost.
            while connection.recv(65536):
                pass

    def accept() -> None:
        while True:
            try:
                connection, caller = listener.accept()
            except OSError:
                return
            told.callers.append(caller[1])
            open_connections.append(connection)
            threads.append(threading.Thread(target=serve, args=(connection,)))
            threads[-1].start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield told
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        accepting.join()
        listener.close()
        for connection in open_connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()
        for connection in open_connections:
            connection.close()


def says(*pieces: bytes) -> Speech:
    def speech(_asked: bytes, connection: socket.socket) -> None:
        for piece in pieces:
            connection.sendall(piece)

    return speech


def answers(body: bytes, *headers: str, status: str = "200 OK") -> Speech:
    """As HTTP has it, with the body's length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return says("\r\n".join(lines).encode() + b"\r\n\r\n" + body)


def sends_on(location: str, status: str = "302 Found") -> Speech:
    return answers(b"", f"Location: {location}", status=status)


def never_ends(head: bytes, piece: bytes, pause_seconds: float = 0.0) -> Speech:
    """The same piece again and again, until the other side has had enough."""

    def speech(_asked: bytes, connection: socket.socket) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(piece)
            time.sleep(pause_seconds)

    return speech


def drips(head: bytes) -> Speech:
    return never_ends(head, b"x", DRIP_SECONDS)


def then_silence(words: bytes) -> Speech:
    def speech(_asked: bytes, connection: socket.socket) -> None:
        connection.sendall(words)
        while connection.recv(65536):
            pass

    return speech
