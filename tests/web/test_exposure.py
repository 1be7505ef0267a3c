"""Whether this process can be reached from other machines, as its own sockets tell."""

import os
import socket
import tempfile

import pytest

from web.exposure import listening_addresses, listens_beyond_loopback


@pytest.mark.parametrize(
    ("address", "family", "beyond"),
    [
        ("127.0.0.1", socket.AF_INET, False),
        ("127.1.2.3", socket.AF_INET, False),
        ("0.0.0.0", socket.AF_INET, True),
        ("::1", socket.AF_INET6, False),
        ("::", socket.AF_INET6, True),
    ],
)
def test_only_loopback_is_private(address: str, family: socket.AddressFamily, beyond: bool) -> None:
    if family is socket.AF_INET6 and not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    before = listening_addresses()
    with socket.create_server((address, 0), family=family):
        assert sorted(listening_addresses()) == sorted([*before, address])
        assert listens_beyond_loopback() is beyond
    assert listening_addresses() == before


def test_looking_opens_nothing_that_stays_open() -> None:
    with tempfile.TemporaryFile():
        before = os.listdir("/dev/fd")
        listening_addresses()
        assert os.listdir("/dev/fd") == before


def test_a_socket_that_does_not_listen_counts_for_nothing() -> None:
    with socket.socket() as bound:
        bound.bind(("0.0.0.0", 0))
        assert "0.0.0.0" not in listening_addresses()
