"""Fetching a picture from a server that means well, or badly, or not at all."""

import socket
import ssl
import time
from dataclasses import replace
from ipaddress import ip_address

import pytest
import trustme

from errors import FetchFailed
from fetch_target import filename_of, parse, shown
from fetching import USER_AGENT, FetchedFile, Fetcher, resolve, tls_context
from tests.strangers import (
    Speech,
    Stranger,
    answers,
    drips,
    never_ends,
    says,
    sends_on,
    stranger,
    then_silence,
)

PICTURE = bytes(range(256)) * 300
LIMIT = 100_000
HOME = ip_address("127.0.0.1")


def fetcher_for(*servers: Stranger, **fields: object) -> Fetcher:
    """May fetch from this machine, which is what every name means."""
    usual = Fetcher(
        True, LIMIT, {server.port for server in servers}, ("127.0.0.1",), 20.0, resolve=lambda _host, _port: [HOME]
    )
    return replace(usual, **fields)  # type: ignore[arg-type]


def fetch(fetcher: Fetcher, url: str) -> tuple[bytes, FetchedFile]:
    received: list[bytes] = []
    file = fetcher.fetch(url, received.append)
    return b"".join(received), file


def failure(
    speech: Speech, scheme: str = "http", server_tls: ssl.SSLContext | None = None, waits: bool = True, **fields: object
) -> FetchFailed:
    """Why nothing comes from a server that speaks like this; `fields` are those of the fetcher."""
    received: list[bytes] = []
    with stranger(speech, tls=server_tls, waits=waits) as server, pytest.raises(FetchFailed) as caught:
        address = f"{scheme}://pictures.example:{server.port}/a/cat.png"
        fetcher_for(server, **fields).fetch(f"{address}?token=secret", received.append)
    assert sum(map(len, received)) <= LIMIT
    told = caught.value.detail
    assert told.startswith(f"{address} cannot be fetched: ")
    assert told.endswith(".")
    assert "secret" not in told
    assert "127.0.0.1" not in told
    return caught.value


# --- as it should be ----------------------------------------------------------------------------------------------


def test_a_picture_comes_whole_with_its_name_and_type() -> None:
    with stranger(answers(PICTURE, "Content-Type: image/png")) as server:
        came, file = fetch(fetcher_for(server), f"http://pictures.example:{server.port}/a/b%20c.png?width=3#top")
    assert came == PICTURE
    assert file == FetchedFile("b c.png", "image/png")


def test_the_request_says_who_asks_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    with stranger(answers(PICTURE)) as server, stranger(answers(b"")) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        fetch(fetcher_for(server), f"http://Pictures.EXAMPLE:{server.port}/ä b|c.png?q=ä#x".replace(" ", "%20"))
        assert proxy.connections_so_far() == 0
    head, *lines = server.requests[0].decode("ascii").rstrip().split("\r\n")
    assert head == "GET /%C3%A4%20b%7Cc.png?q=%C3%A4 HTTP/1.1"
    assert dict(line.split(": ") for line in lines) == {
        "Host": f"pictures.example:{server.port}",
        "User-Agent": USER_AGENT,
        "Accept": "image/*, */*;q=0.1",
        "Accept-Encoding": "identity",
        "Connection": "close",
    }


@pytest.mark.parametrize(
    ("url", "authority", "path"),
    [
        ("http://a.example", "a.example", "/"),
        ("HTTP://A.Example:80?b", "a.example", "/?b"),
        ("https://a_b.example:443/x/../y", "a_b.example", "/x/../y"),
        ("http://a.example:8000/", "a.example:8000", "/"),
        ("http://[2600::1]:8000/", "[2600::1]:8000", "/"),
        ("http://münchen.example/", "xn--mnchen-3ya.example", "/"),
        ("http://xn--mnchen-3ya.example/", "xn--mnchen-3ya.example", "/"),
        ("http://a.example/w_200,h_100/猫.png", "a.example", "/w_200,h_100/%E7%8C%AB.png"),
    ],
)
def test_an_address_is_understood(url: str, authority: str, path: str) -> None:
    target = parse(url, {80, 443, 8000})
    assert (target.authority, target.path) == (authority, path)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
TAKEN = {
    "chunks": says(CHUNKED, b"2\r\nab\r\n", b"1;extension=x\r\nc\r\n0\r\nTrailer: x\r\n\r\n"),
    "no length": says(b"HTTP/1.1 200 OK\r\n\r\n", b"abc"),
    "HTTP/1.0": says(b"HTTP/1.0 200 OK\r\n\r\nabc"),
    "in small pieces": says(*(bytes([letter]) for letter in b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc")),
    "hints first": says(b"HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\nabc"),
    "more than announced": says(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef"),
    "identity": answers(b"abc", "Content-Encoding: identity"),
}  # fmt: skip


@pytest.mark.parametrize("speech", TAKEN.values(), ids=TAKEN)
def test_what_servers_really_send_is_understood(speech: Speech) -> None:
    with stranger(speech) as server:
        assert fetch(fetcher_for(server), f"http://a.example:{server.port}/")[0] == b"abc"


def test_a_file_of_exactly_the_largest_size_comes() -> None:
    with stranger(answers(bytes(LIMIT))) as server:
        assert len(fetch(fetcher_for(server), f"http://a.example:{server.port}/")[0]) == LIMIT


def test_the_next_address_of_a_host_is_tried_when_one_does_not_answer() -> None:
    with stranger(answers(PICTURE)) as server:
        deaf = ip_address("127.0.0.3")
        fetcher = fetcher_for(server, allowed_hosts=("127.0.0.0/24",), resolve=lambda _host, _port: [deaf, HOME])
        assert fetch(fetcher, f"http://a.example:{server.port}/")[0] == PICTURE


def test_a_host_may_be_allowed_by_its_name() -> None:
    with stranger(answers(PICTURE)) as server:
        fetcher = fetcher_for(server, allowed_hosts=("images.internal",))
        assert fetch(fetcher, f"http://IMAGES.internal:{server.port}/")[0] == PICTURE
        with pytest.raises(FetchFailed, match="not public"):
            fetch(fetcher, f"http://other.internal:{server.port}/")


def test_three_redirects_are_followed_and_a_fourth_is_not() -> None:
    with (
        stranger(answers(PICTURE)) as last,
        stranger(sends_on(f"http://b.example:{last.port}/cat.png")) as third,
        stranger(sends_on(f"//c.example:{third.port}/x%20y", "301 Moved Permanently")) as second,
        stranger(sends_on(f"http://b.example:{second.port}", "308 Permanent Redirect")) as first,
        stranger(sends_on(f"http://a.example:{first.port}/", "307 Temporary Redirect")) as zeroth,
    ):
        fetcher = fetcher_for(zeroth, first, second, third, last)
        came, file = fetch(fetcher, f"http://a.example:{first.port}/dog.png")
        assert (came, file.filename) == (PICTURE, "dog.png")
        with pytest.raises(FetchFailed, match="more than 3 redirects") as caught:
            fetch(fetcher, f"http://a.example:{zeroth.port}/dog.png")
        assert caught.value.code == "fetch_failed"
        assert last.connections_so_far() == 1


def test_a_redirect_may_name_a_place_on_the_same_server() -> None:
    def speech(asked: bytes, connection: socket.socket) -> None:
        where = asked.split()[1]
        (sends_on("../b?c=d") if where == b"/a/a" else answers(where))(asked, connection)

    with stranger(speech) as server:
        assert fetch(fetcher_for(server), f"http://a.example:{server.port}/a/a")[0] == b"/b?c=d"


def test_redirects_in_a_circle_end() -> None:
    with stranger(sends_on("/again")) as server, pytest.raises(FetchFailed, match="more than 3 redirects"):
        fetch(fetcher_for(server), f"http://a.example:{server.port}/again")
    assert len(server.requests) == 4


def test_what_the_sink_raises_is_not_disguised() -> None:
    def full(_piece: bytes) -> None:
        raise OSError("disk full")

    with stranger(answers(PICTURE)) as server, pytest.raises(OSError, match="disk full"):
        fetcher_for(server).fetch(f"http://a.example:{server.port}/", full)


def test_nothing_is_fetched_when_that_is_switched_off() -> None:
    with stranger(answers(PICTURE)) as server:
        with pytest.raises(FetchFailed, match="fetches no pictures") as caught:
            fetch(fetcher_for(server, enabled=False), f"http://a.example:{server.port}/")
        assert caught.value.code == "fetching_off"
        assert server.connections_so_far() == 0


def test_the_system_finds_hosts() -> None:
    with stranger(answers(PICTURE)) as server:
        fetcher = Fetcher(True, LIMIT, {server.port}, ("localhost",), 20.0)
        assert fetch(fetcher, f"http://localhost:{server.port}/")[0] == PICTURE
    assert HOME in resolve("localhost", 80)
    assert resolve("x" * 64 + ".example", 80) == []


# --- servers that mean badly --------------------------------------------------------------------------------------

HEAD = b"HTTP/1.1 200 OK\r\n"
NO_END = {
    "body": never_ends(HEAD + b"\r\n", bytes(65536)),
    "chunks": never_ends(CHUNKED, b"10000\r\n" + bytes(65536) + b"\r\n"),
    "tiny chunks": never_ends(CHUNKED, b"1;x\r\na\r\n" * 5000),
    "a body longer than it may be": answers(bytes(LIMIT + 1)),
    "an announced size": says(HEAD + b"Content-Length: 10000000000\r\n\r\n"),
    "words that the answer is on its way": never_ends(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 500),
}


@pytest.mark.parametrize("speech", NO_END.values(), ids=NO_END)
def test_more_than_a_file_may_have_is_not_taken(speech: Speech) -> None:
    assert failure(speech).code == "file_too_large"


SLOW = {
    "body": drips(HEAD + b"Content-Length: 10000\r\n\r\n"),
    "body without a length": drips(HEAD + b"\r\n"),
    "chunks": never_ends(CHUNKED, b"1\r\na\r\n", 0.02),
    "headers": never_ends(HEAD, b"X: y\r\n", 0.02),
    "one header": drips(HEAD + b"X: "),
    "status line": drips(b"HTTP/1.1 200 "),
    "hints": never_ends(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n", 0.02),
}


@pytest.mark.parametrize("speech", SLOW.values(), ids=SLOW)
def test_a_drip_cannot_stretch_the_time_limit(speech: Speech) -> None:
    started = time.monotonic()
    assert failure(speech, timeout_seconds=0.3).code == "fetch_timeout"
    assert time.monotonic() - started < 10


def test_redirects_share_one_time_limit() -> None:
    def slowly(asked: bytes, connection: socket.socket) -> None:
        time.sleep(0.15)
        sends_on("/again")(asked, connection)

    assert failure(slowly, timeout_seconds=0.3).code == "fetch_timeout"


@pytest.mark.parametrize("words", [b"", HEAD], ids=["at once", "in the middle"])
def test_a_silent_server_is_left_before_the_time_is_up(words: bytes) -> None:
    assert failure(then_silence(words), timeout_seconds=60.0, read_seconds=0.2).code == "fetch_timeout"


BAD = {
    "nothing": says(),
    "only a status": says(HEAD),
    "no HTTP": says(b"220 mail.example ESMTP\r\n\r\n"),
    "noise": says(bytes(range(256)) * 4),
    "HTTP/0.9": says(b"<html>hello</html>"),
    "endless headers": never_ends(HEAD, b"X-Header: y\r\n" * 100),
    "an endless header": never_ends(HEAD + b"X: ", b"y" * 1000),
    "an endless status": never_ends(b"HTTP/1.1 200 ", b"y" * 1000),
    "less than announced": says(HEAD + b"Content-Length: 10\r\n\r\nabc"),
    "a negative length": says(HEAD + b"Content-Length: -1\r\n\r\nabc"),
    "a length in words": says(HEAD + b"Content-Length: three\r\n\r\nabc"),
    "a length beyond numbers": says(HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\nabc"),
    "two lengths": says(HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"),
    "chunks of no size": says(CHUNKED, b"zz\r\nabc\r\n0\r\n\r\n"),
    "chunks of a negative size": says(CHUNKED, b"-3\r\nabc\r\n0\r\n\r\n"),
    "chunks that are longer than they say": says(CHUNKED, b"2\r\nabc\r\n0\r\n\r\n"),
    "chunks without an end": says(CHUNKED, b"3\r\nabc\r\n"),
    "an endless size of a chunk": never_ends(CHUNKED, b"0" * 1000),
    "an endless extension of a chunk": never_ends(CHUNKED + b"1;", b"x" * 1000),
    "endless trailers": never_ends(CHUNKED + b"0\r\n", b"X: y\r\n" * 100),
    "two transfer encodings": says(HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
    "a gzip bomb": answers(b"\x1f\x8b" + bytes(1000), "Content-Encoding: gzip"),
    "brotli": answers(b"abc", "Content-Encoding: br"),
    "two encodings": answers(b"abc", "Content-Encoding: identity", "Content-Encoding: deflate"),
    "not found": answers(b"", status="404 Not Found"),
    "an error with a body": answers(PICTURE, status="500 Internal Server Error"),
    "only a part": answers(b"abc", status="206 Partial Content"),
    "no content": says(b"HTTP/1.1 204 No Content\r\n\r\n"),
    "a redirect to nowhere": answers(b"abc", status="302 Found"),
    "another protocol": says(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"),
}  # fmt: skip


@pytest.mark.parametrize("speech", BAD.values(), ids=BAD)
def test_a_bad_answer_is_told_in_words(speech: Speech) -> None:
    assert failure(speech).code == "fetch_failed"


def test_a_server_that_is_not_there() -> None:
    with stranger(says()) as gone:
        fetcher = fetcher_for(gone)
    with pytest.raises(FetchFailed, match="its server cannot be reached") as caught:
        fetch(fetcher, f"http://a.example:{gone.port}/")
    assert caught.value.code == "fetch_failed"


# --- TLS ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = tls_context()
    authority.configure_trust(context)
    return context


def server_context(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


def test_the_certificate_is_that_of_the_name_though_the_connection_goes_to_an_address(
    authority: trustme.CA, trusting: ssl.SSLContext
) -> None:
    with stranger(answers(PICTURE), tls=server_context(authority, "pictures.example")) as server:
        fetcher = fetcher_for(server, tls=trusting)
        assert fetch(fetcher, f"https://pictures.example:{server.port}/")[0] == PICTURE
    assert server.server_names == ["pictures.example"]


@pytest.mark.parametrize("name", ["other.example", "127.0.0.1", "sub.pictures.example", "*.pictures.example"])
def test_a_certificate_for_another_name_is_refused(authority: trustme.CA, trusting: ssl.SSLContext, name: str) -> None:
    error = failure(answers(PICTURE), "https", server_context(authority, name), tls=trusting)
    assert "certificate" in error.detail


def test_a_certificate_that_nobody_vouches_for_is_refused(authority: trustme.CA) -> None:
    assert "certificate" in failure(answers(PICTURE), "https", server_context(authority, "pictures.example")).detail


def test_a_server_that_speaks_no_tls_is_refused() -> None:
    error = failure(says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "https", waits=False)
    assert "connection to its server broke" in error.detail


def test_a_server_that_never_shakes_hands_is_left() -> None:
    error = failure(then_silence(b""), "https", waits=False, connect_seconds=0.2)
    assert error.code == "fetch_timeout"


def test_https_is_not_left_by_a_redirect(authority: trustme.CA, trusting: ssl.SSLContext) -> None:
    with stranger(answers(PICTURE)) as plain:
        speech = sends_on(f"http://pictures.example:{plain.port}/")
        with (
            stranger(speech, tls=server_context(authority, "pictures.example")) as server,
            pytest.raises(FetchFailed, match="from https to http") as caught,
        ):
            fetch(fetcher_for(server, plain, tls=trusting), f"https://pictures.example:{server.port}/")
        assert caught.value.code == "forbidden_url"
        assert plain.connections_so_far() == 0


def test_a_slow_drip_through_tls_ends_in_time(authority: trustme.CA, trusting: ssl.SSLContext) -> None:
    speech = drips(HEAD + b"Content-Length: 10000\r\n\r\n")
    context = server_context(authority, "pictures.example")
    error = failure(speech, "https", context, tls=trusting, timeout_seconds=0.3)
    assert error.code == "fetch_timeout"


# --- words --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://a.example/b/cat.png?x=/y#z/", "cat.png"),
        ("https://a.example/%E7%8C%AB.png", "猫.png"),
        ("https://a.example/b/", ""),
        ("https://a.example", ""),
        ("https://a.example/..%2f..%2fpasswd", "../../passwd"),
        ("cat.png", ""),
    ],
)
def test_the_name_is_the_last_part_of_the_path(url: str, name: str) -> None:
    assert filename_of(url) == name


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://a.example/b.png?signature=secret#secret", "https://a.example/b.png"),
        ("https://user:secret@a.example/b.png", "https://a.example/b.png"),
        ("https://a.example/\x1b[31m\u202e\n", "https://a.example/[31m"),
        ("https://a.example/" + "b" * 500, "https://a.example/" + "b" * 101 + "…"),
    ],
)
def test_an_address_is_shown_without_its_secrets(url: str, told: str) -> None:
    assert shown(url) == told
