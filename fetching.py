"""Pictures from addresses that clients name, fetched so that nobody reaches our own network through us.

What counts as public is in fetch_target.py. The connection goes to the very address that was checked: asking for the
host's addresses a second time could get another answer. Proxies of the environment are not used, since a proxy would
ask once more.
"""

import contextlib
import http
import socket
import ssl
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address

import h11

import fetch_target
from errors import FetchFailed
from fetch_target import Address, Target

USER_AGENT = "rembg-microservice"
MOST_REDIRECTS = 3
REDIRECTS = (301, 302, 303, 307, 308)
RECEIVE_BYTES = 2**16
# Headers and the frames of chunks, beside the picture itself.
OVERHEAD_BYTES = 2**20
# Of one answer's headers; more is refused as no HTTP.
HEADER_BYTES = 2**15

Resolve = Callable[[str, int], Sequence[Address]]


def resolve(host: str, port: int) -> list[Address]:
    """Addresses of a host as the system finds them, which has its own time limit; none when it finds none."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    # A link-local address comes with its interface, which is no part of the address.
    return [ip_address(str(place[0]).partition("%")[0]) for *_, place in found]


def tls_context() -> ssl.SSLContext:
    """Certificates are checked against those that the system trusts."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


@dataclass(frozen=True)
class FetchedFile:
    """What came: the name from its address, which may be empty, and the type that the server told."""

    filename: str
    content_type: str


class Deadline:
    """The moment by which everything has to be done."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self, at_most: float) -> float:
        """Seconds, to wait no longer than that. Raises FetchFailed when there are none."""
        seconds = self._end - time.monotonic()
        if seconds <= 0:
            raise timeout()
        return min(seconds, at_most)


class Exchange:
    """One request and its answer over a connection, in time and within a number of bytes."""

    def __init__(self, connection: socket.socket, deadline: Deadline, read_seconds: float, max_bytes: int) -> None:
        self._connection = connection
        self._deadline = deadline
        self._read_seconds = read_seconds
        self._bytes_left = max_bytes
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEADER_BYTES)

    def ask(self, target: Target) -> h11.Response:
        """Send the request, and wait for the answer's headers."""
        headers = {
            "Host": target.authority,
            "User-Agent": USER_AGENT,
            "Accept": "image/*, */*;q=0.1",
            "Accept-Encoding": "identity",
            "Connection": "close",
        }
        request = h11.Request(method="GET", target=target.path, headers=list(headers.items()))
        asked = self._http.send(request) or b""
        self._http.send(h11.EndOfMessage())
        with failures_told():
            self._connection.settimeout(self._deadline.left(self._read_seconds))
            self._connection.sendall(asked)
        while not isinstance(event := self._next(), h11.Response):
            if not isinstance(event, h11.InformationalResponse):
                raise no_http()
        return event

    def body(self) -> Iterator[bytes]:
        while not isinstance(event := self._next(), h11.EndOfMessage):
            if not isinstance(event, h11.Data):
                raise no_http()
            yield bytes(event.data)

    def _next(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """What comes next, which is never that data is needed."""
        try:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                self._http.receive_data(self._receive())
        except h11.RemoteProtocolError as error:
            raise no_http() from error
        return event

    def _receive(self) -> bytes:
        with failures_told():
            # However slowly it drips, the next piece is waited for only as long as the whole may take.
            self._connection.settimeout(self._deadline.left(self._read_seconds))
            received = self._connection.recv(RECEIVE_BYTES)
        self._bytes_left -= len(received)
        if self._bytes_left < 0:
            raise too_large()
        return received


@dataclass(frozen=True)
class Fetcher:
    """Fetches pictures under the operator's rules. Sizes in bytes, times in seconds. Thread-safe, and blocks.

    `allowed_hosts` are names in small letters, addresses and networks.
    """

    enabled: bool
    max_bytes: int
    ports: Collection[int]
    allowed_hosts: Collection[str]
    timeout_seconds: float
    connect_seconds: float = 10.0
    read_seconds: float = 20.0
    resolve: Resolve = resolve
    tls: ssl.SSLContext = field(default_factory=tls_context)

    def fetch(self, url: str, sink: Callable[[bytes], object]) -> FetchedFile:
        """Hand a picture to `sink` piece by piece, as it comes.

        Raises FetchFailed with a sentence that names the address without its query, and what `sink` raises.
        """
        if not self.enabled:
            raise FetchFailed("fetching_off", "This service fetches no pictures. Please send the picture itself.")
        where = ""
        try:
            deadline = Deadline(self.timeout_seconds)
            target = fetch_target.parse(url, self.ports)
            for _ in range(MOST_REDIRECTS + 1):
                location, content_type = self._follow(target, deadline, sink)
                if location is None:
                    return FetchedFile(fetch_target.filename_of(url), content_type)
                where = "after a redirect, "
                target = fetch_target.redirected(target, location, self.ports)
            raise FetchFailed("fetch_failed", f"there are more than {MOST_REDIRECTS} redirects")
        except FetchFailed as error:
            raise FetchFailed(
                error.code, f"{fetch_target.shown(url)} cannot be fetched: {where}{error.detail}."
            ) from error

    def _follow(self, target: Target, deadline: Deadline, sink: Callable[[bytes], object]) -> tuple[str | None, str]:
        """Where the answer sends us on to, or else None, once its body went to `sink`; and its content type."""
        with contextlib.closing(self._connect(target, deadline)) as connection:
            exchange = Exchange(connection, deadline, self.read_seconds, self.max_bytes + OVERHEAD_BYTES)
            answer = exchange.ask(target)
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in answer.headers}
            if answer.status_code in REDIRECTS and "location" in headers:
                return headers["location"], ""
            self._check(answer.status_code, headers)
            taken = 0
            for piece in exchange.body():
                taken += len(piece)
                if taken > self.max_bytes:
                    raise too_large()
                sink(piece)
            return None, headers.get("content-type", "")

    def _check(self, status: int, headers: dict[str, str]) -> None:
        """Raises FetchFailed unless the body is worth having."""
        if status != http.HTTPStatus.OK:
            raise FetchFailed("fetch_failed", f"its server answers with status {status}")
        # Not unpacked: a few bytes could become any number.
        if headers.get("content-encoding", "identity").strip().lower() != "identity":
            raise FetchFailed("fetch_failed", "its server sends it compressed, though it was asked not to")
        if int(headers.get("content-length", "0")) > self.max_bytes:
            raise too_large()

    def _connect(self, target: Target, deadline: Deadline) -> socket.socket:
        """A connection to an address of the host, every one of which was checked."""
        addresses = [target.address] if target.address else list(self.resolve(target.host, target.port))
        fetch_target.check_addresses(target.host, addresses, self.allowed_hosts)
        connection = self._dial(dict.fromkeys(addresses), target.port, deadline)
        if target.scheme == "http":
            return connection
        try:
            with failures_told():
                connection.settimeout(deadline.left(self.connect_seconds))
                return self.tls.wrap_socket(connection, server_hostname=target.host)
        except FetchFailed:
            connection.close()
            raise

    def _dial(self, addresses: Collection[Address], port: int, deadline: Deadline) -> socket.socket:
        """Whichever address answers first, in the order of the system."""
        failure: OSError | None = None
        for address in addresses:
            try:
                return socket.create_connection((str(address), port), deadline.left(self.connect_seconds))
            except OSError as error:
                failure = error
        if isinstance(failure, TimeoutError):
            raise timeout() from failure
        raise FetchFailed("fetch_failed", "its server cannot be reached") from failure


@contextlib.contextmanager
def failures_told() -> Iterator[None]:
    """Turns errors of a connection into FetchFailed; the system's words could name addresses."""
    try:
        yield
    except TimeoutError as error:
        raise timeout() from error
    except ssl.SSLCertVerificationError as error:
        raise FetchFailed("fetch_failed", "the certificate of its server is not valid for it") from error
    except OSError as error:
        raise FetchFailed("fetch_failed", "the connection to its server broke") from error


def timeout() -> FetchFailed:
    return FetchFailed("fetch_timeout", "its server takes too long")


def too_large() -> FetchFailed:
    return FetchFailed("file_too_large", "it is larger than a file may be")


def no_http() -> FetchFailed:
    return FetchFailed("fetch_failed", "the answer of its server is incomplete or no HTTP")
