"""Addresses that lead where no client may send us: every one is refused, and nobody is connected to.

A trap listens on every address of this machine, and its port is among those that may be used: a request that was sent
on its way in spite of all would be counted.
"""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address

import pytest

from errors import FetchFailed
from fetch_target import Address, is_public
from fetching import Fetcher
from tests.strangers import Stranger, answers, sends_on, stranger

PICTURE = b"a picture"
PUBLIC = "93.184.216.34"
NAMES = {
    "localhost": ["127.0.0.1", "::1"],
    "intranet": ["10.1.2.3"],
    "private.example": ["192.168.1.1"],
    "mixed.example": [PUBLIC, "127.0.0.1"],
    "mixed-six.example": [PUBLIC, "::1"],
    "private-last.example": [PUBLIC, "8.8.8.8", "10.0.0.1"],
    "mapped.example": ["::ffff:127.0.0.1"],
    "nat64.example": ["64:ff9b::7f00:1"],
    "local-nat64.example": ["64:ff9b:1::7f00:1"],
    "6to4.example": ["2002:7f00:1::"],
    "teredo.example": ["2001:0:4136:e378:8000:63bf:80ff:fffe"],
    "link-local.example": ["fe80::1"],
    "zero.example": ["0.0.0.0"],
    "nothing.example": ["::"],
    "unknown.example": [],
    "metadata.example": ["169.254.169.254"],
}
FORBIDDEN = """
http://127.0.0.1:{port}/a.png
http://127.0.0.2:{port}/a.png
http://127.255.255.254:{port}/
http://0.0.0.0:{port}/
http://0.1.2.3:{port}/
http://10.0.0.1:{port}/
http://100.64.0.1:{port}/
http://100.100.100.200/latest/meta-data/
http://168.63.129.16/machine
http://169.254.169.254/latest/meta-data/
http://172.16.0.1:{port}/
http://172.31.255.255:{port}/
http://192.0.0.192/opc/v2/
http://192.0.2.1:{port}/
http://192.88.99.1:{port}/
http://192.168.0.1:{port}/
http://198.18.0.1:{port}/
http://198.51.100.1:{port}/
http://203.0.113.1:{port}/
http://224.0.0.1:{port}/
http://240.0.0.1:{port}/
http://255.255.255.255:{port}/
http://[::]:{port}/
http://[::1]:{port}/
http://[0:0:0:0:0:0:0:1]:{port}/
http://[0000:0000:0000:0000:0000:0000:0000:0001]:{port}/
http://[::127.0.0.1]:{port}/
http://[::ffff:127.0.0.1]:{port}/
http://[::ffff:7f00:1]:{port}/
http://[::FFFF:127.0.0.1]:{port}/
http://[0:0:0:0:0:ffff:127.0.0.1]:{port}/
http://[::ffff:0:127.0.0.1]:{port}/
http://[64:ff9b::127.0.0.1]:{port}/
http://[64:ff9b::7f00:1]:{port}/
http://[64:ff9b:1::7f00:1]:{port}/
http://[100::1]:{port}/
http://[2001::1]:{port}/
http://[2001:db8::1]:{port}/
http://[2002:7f00:1::]:{port}/
http://[2002:a00:1::1]:{port}/
http://[3fff::1]:{port}/
http://[fc00::1]:{port}/
http://[fd00:ec2::254]/latest/meta-data/
http://[fe80::1]:{port}/
http://[fec0::1]:{port}/
http://[ff02::1]:{port}/
http://localhost:{port}/
http://LOCALHOST:{port}/
http://intranet:{port}/
http://private.example:{port}/
http://mixed.example:{port}/
http://mixed-six.example:{port}/
http://private-last.example:{port}/
http://mapped.example:{port}/
http://nat64.example:{port}/
http://local-nat64.example:{port}/
http://6to4.example:{port}/
http://teredo.example:{port}/
http://link-local.example:{port}/
http://zero.example:{port}/
http://nothing.example:{port}/
http://unknown.example:{port}/
http://metadata.example/
https://127.0.0.1:{port}/
https://localhost:{port}/
http://127.0.0.1:{port}#@public.example/
http://127.0.0.1:{port}?@public.example/
http://127。0。0。1:{port}/
"""
INVALID = """
http://2130706433:{port}/
http://0x7f000001:{port}/
http://0x7f.1:{port}/
http://0x7f.0.0.1:{port}/
http://0X7F.0.0.1:{port}/
http://0177.0.0.1:{port}/
http://017700000001:{port}/
http://127.1:{port}/
http://127.0.1:{port}/
http://127.000.000.001:{port}/
http://00000127.0.0.1:{port}/
http://127.0.0.01:{port}/
http://127.0.0.1.0x1:{port}/
http://256.0.0.1:{port}/
http://127.0.0.1.:{port}/
http://localhost.:{port}/
http://.localhost:{port}/
http://local..host:{port}/
http://127.0.0.1%00.public.example:{port}/
http://127%2e0.0.1:{port}/
http://%6c%6f%63%61%6c%68%6f%73%74:{port}/
http://①②⑦.⓪.⓪.①:{port}/
http://ｌｏｃａｌｈｏｓｔ:{port}/
http://ⓛocalhost:{port}/
http://１２７.0.0.1:{port}/
http://user@127.0.0.1:{port}/
http://user:hunter2@127.0.0.1:{port}/
http://public.example@127.0.0.1:{port}/
http://@127.0.0.1:{port}/
http://public.example:80@127.0.0.1:{port}/
http://127.0.0.1:{port}@public.example/
http://public.example\\@127.0.0.1:{port}/
http:\\\\127.0.0.1:{port}\\a.png
http:/127.0.0.1:{port}/
http:127.0.0.1:{port}/
http:///127.0.0.1:{port}/
//127.0.0.1:{port}/
127.0.0.1:{port}/a.png
http://
http://:{port}/
http://[]:{port}/
http://[::1:{port}/
http://::1:{port}/
http://[::1]x:{port}/
http://[::1%25lo]:{port}/
http://[fe80::1%lo]:{port}/
http://[v1.127.0.0.1]:{port}/
http://127.0.0.1:22/
http://127.0.0.1:0/
http://127.0.0.1:65536/
http://127.0.0.1:99999999/
http://127.0.0.1:-1/
http://127.0.0.1:+{port}/
http://127.0.0.1:{port}:80/
http://127.0.0.1:８０/
http://public.example:6379/
ftp://127.0.0.1:{port}/
file:///etc/passwd
file://127.0.0.1/etc/passwd
gopher://127.0.0.1:{port}/_GET
dict://127.0.0.1:{port}/
ldap://127.0.0.1:{port}/
data:image/png;base64,iVBORw0KGgo=
javascript:alert(1)
unix:///var/run/docker.sock
view-source:http://127.0.0.1:{port}/
HTTP+UNIX://%2Fvar%2Frun/
"""
UNPRINTABLE = [
    " http://127.0.0.1:{port}/",
    "http://127.0.0.1:{port}/ ",
    "http://127.0.0.1 :{port}/",
    "http://127.0.0.1:{port}/a b.png",
    "http://127.0.0.1:{port}/\r\nHost: public.example",
    "http://public.example\r\n@127.0.0.1:{port}/",
    "http://127.0.0.1\t:{port}/",
    "ht\ntp://127.0.0.1:{port}/",
    "http://127.0.0.1:{port}/\0",
    "http://local\u00adhost:{port}/",
    "http://local\u200bhost:{port}/",
    "http://127.0.0.1\u2028:{port}/",
    "http://\u202e1.0.0.721:{port}/",
    "http://\udc80/",
    "http://" + "a" * 64 + ".example:{port}/",
    "http://" + "a." * 130 + "example:{port}/",
    "http://public.example/" + "a" * 5000,
    "",
    "http",
]
HOSTILE = [
    *((url, "forbidden_url") for url in FORBIDDEN.split()),
    *((url, "invalid_url") for url in INVALID.split()),
    *((url, "invalid_url") for url in UNPRINTABLE),
]


def from_names(host: str, _port: int) -> list[Address]:
    return [ip_address(address) for address in NAMES[host]]


@pytest.fixture(scope="module")
def trap() -> Iterator[Stranger]:
    with stranger(answers(PICTURE), host="::") as listening:
        yield listening


@pytest.fixture(scope="module")
def fetcher(trap: Stranger) -> Fetcher:
    return Fetcher(True, 1000, {80, 443, trap.port}, (), 5.0, connect_seconds=1.0, resolve=from_names)


def assert_refused(fetcher: Fetcher, url: str, code: str) -> str:
    """The sentence; nothing may have come."""
    received: list[bytes] = []
    with pytest.raises(FetchFailed) as caught:
        fetcher.fetch(url, received.append)
    assert (caught.value.code, received) == (code, []), caught.value
    return caught.value.detail


@pytest.mark.parametrize(("url", "code"), HOSTILE, ids=lambda value: ascii(value)[:60])
def test_a_hostile_address_is_refused_and_nobody_is_connected_to(
    trap: Stranger, fetcher: Fetcher, url: str, code: str
) -> None:
    before = trap.connections_so_far()
    told = assert_refused(fetcher, url.replace("{port}", str(trap.port)), code)
    assert trap.connections_so_far() == before
    assert told.endswith(".")
    assert told.isprintable()
    assert "hunter2" not in told
    assert "10.1.2.3" not in told


@pytest.mark.parametrize("url", [url for url in INVALID.split() if "@" in url])
def test_an_address_with_a_user_name_is_refused_for_it(trap: Stranger, fetcher: Fetcher, url: str) -> None:
    told = assert_refused(fetcher, url.replace("{port}", str(trap.port)), "invalid_url")
    assert "user name" in told or "backslashes" in told


def test_there_are_more_of_them_than_forty() -> None:
    assert len({url for url, _ in HOSTILE}) == len(HOSTILE) > 150


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "localhost"])
def test_the_trap_would_have_caught_them(trap: Stranger, fetcher: Fetcher, host: str) -> None:
    careless = replace(fetcher, allowed_hosts=("0.0.0.0/0", "::/0"))
    received: list[bytes] = []
    careless.fetch(f"http://{host}:{trap.port}/", received.append)
    assert received == [PICTURE]


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "9.255.255.255", "11.0.0.0", "93.184.216.34", "100.63.255.255", "100.128.0.0", "172.15.0.1",
                "172.32.0.0", "223.255.255.255", "2600::", "2a00:1450:4001::1", "2001:200::1", "2003::1", "3ffe::1"]
)  # fmt: skip
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(ip_address(address))


# --- behind a door that is open -----------------------------------------------------------------------------------

SENT_ON = """
http://127.0.0.2:{trap}/a.png
//127.0.0.2:{trap}/a.png
http://localhost:{trap}/
http://[::1]:{trap}/
http://[::ffff:127.0.0.1]:{trap}/
http://2130706434:{trap}/
http://0x7f.0.0.2:{trap}/
http://user@127.0.0.1:{trap}/
http://mixed-six.example:{trap}/
http://unknown.example:{trap}/
http://169.254.169.254/
http://127.0.0.1:22/
http://127.0.0.1:6379/
https://127.0.0.2:{trap}/
file:///etc/passwd
ftp://127.0.0.1:{trap}/
gopher://127.0.0.1:{trap}/_
data:image/png;base64,iVBORw0KGgo=
http:\\\\127.0.0.2:{trap}/
\\\\127.0.0.2:{trap}/
http://[
//[::1
http://127.0.0.2:{trap}\t/
http://exämple.example:{trap}/
""".strip().splitlines()


@pytest.mark.parametrize("location", SENT_ON)
def test_a_redirect_into_our_network_is_not_followed(trap: Stranger, fetcher: Fetcher, location: str) -> None:
    before = trap.connections_so_far()
    with stranger(sends_on(location.replace("{trap}", str(trap.port)))) as friend:
        friendly = replace(fetcher, ports={80, 443, friend.port, trap.port}, allowed_hosts=("127.0.0.1/32",))
        received: list[bytes] = []
        with pytest.raises(FetchFailed, match="after a redirect, ") as caught:
            friendly.fetch(f"http://127.0.0.1:{friend.port}/", received.append)
        assert friend.connections == 1
    assert caught.value.code in ("forbidden_url", "invalid_url")
    assert "127.0.0.2" not in caught.value.detail
    assert received == []
    assert trap.connections_so_far() == before


def test_a_host_is_looked_up_once_so_that_a_second_answer_cannot_lead_elsewhere() -> None:
    told = iter([["127.0.0.2"], ["127.0.0.1"], ["127.0.0.1"]])
    with stranger(answers(PICTURE), host="127.0.0.2") as public, stranger(answers(b""), port=public.port) as private:
        fetcher = Fetcher(
            True, 1000, {public.port}, ("127.0.0.2",), 5.0,
            resolve=lambda _host, _port: [ip_address(address) for address in next(told)],
        )  # fmt: skip
        received: list[bytes] = []
        fetcher.fetch(f"http://rebinding.example:{public.port}/", received.append)
        assert received == [PICTURE]
        assert private.connections_so_far() == 0
        assert next(told) == ["127.0.0.1"]
        # Now it answers with the other one.
        assert_refused(fetcher, f"http://rebinding.example:{public.port}/", "forbidden_url")
        assert private.connections_so_far() == 0
