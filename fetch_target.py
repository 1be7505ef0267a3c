"""What a client's address for a picture means, read strictly, and which network addresses may be connected to."""

import re
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import quote, unquote, urljoin

import idna

from errors import FetchFailed

Address = IPv4Address | IPv6Address

MOST_CHARACTERS = 4096
DEFAULT_PORTS = {"http": 80, "https": 443}
_URL = re.compile(r"(https?)://([^/?#]*)([^?#]*)(\?[^#]*)?(#.*)?", re.IGNORECASE)
_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[^\[\]:@]+)(?::([0-9]{1,5}))?", re.IGNORECASE)
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
# What makes a host a number to some programs: 127.1, 0177.0.0.1, 0x7f000001.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
# All that RFC 3986 gives a meaning in a path or query; `%` too, since most addresses come quoted.
_MEANINGFUL = "!#$%&'()*+,/:;=?@[]~"

# From IANA's registries of special-purpose addresses. `is_global` of Python 3.11 says yes to many of them: 192.0.0.192,
# multicast, and IPv6 addresses that carry 127.0.0.1 (::127.0.0.1, 64:ff9b::7f00:1, 64:ff9b:1::7f00:1, 2002:7f00:1::).
NOT_PUBLIC_IPV4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT; metadata services of some clouds
        "127.0.0.0/8",
        "168.63.129.16/32",  # public by its number, the host of the virtual machine in Azure
        "169.254.0.0/16",  # link-local; metadata services of most clouds
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments; metadata service of one cloud
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
# Only this is given out as public at all. Outside are ::, ::1, IPv4-compatible ::/96, IPv4-mapped ::ffff:0:0/96, NAT64
# 64:ff9b::/96 and 64:ff9b:1::/48, discard 100::/64, segment routing 5f00::/16, unique local fc00::/7, link-local
# fe80::/10, site-local fec0::/10 and multicast ff00::/8.
PUBLIC_IPV6 = IPv6Network("2000::/3")
NOT_PUBLIC_IPV6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments, Teredo 2001::/32 among them
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which carries any IPv4 address
        "3fff::/20",  # documentation
    )
)


@dataclass(frozen=True)
class Target:
    """One request to be made: `host` is a name in ASCII or the text of an address, `path` begins with `/`."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def address(self) -> Address | None:
        """The host, where it is written as an address."""
        try:
            return ip_address(self.host)
        except ValueError:
            return None


def parse(url: str, ports: Collection[int]) -> Target:
    """The request that an address asks for. Raises FetchFailed with `invalid_url`."""
    check_characters(url)
    match = _URL.fullmatch(url)
    if match is None:
        raise invalid("addresses begin with http:// or https://")
    scheme, authority, path, query = match[1].lower(), match[2], match[3], match[4] or ""
    if "@" in authority:
        raise invalid("addresses with a user name or a password are not accepted")
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None:
        raise invalid("it has no readable host")
    port = int(parts[2]) if parts[2] else DEFAULT_PORTS[scheme]
    if port not in ports:
        raise invalid(f"the ports that may be used (QUEUE_FETCH_PORTS) are {', '.join(map(str, sorted(ports)))}")
    return Target(scheme, host_of(parts[1]), port, quote((path or "/") + query, _MEANINGFUL))


def check_characters(url: str) -> None:
    """Programs disagree on what these mean. Raises FetchFailed."""
    if len(url) > MOST_CHARACTERS:
        raise invalid(f"an address has at most {MOST_CHARACTERS} characters")
    if any(character == "\\" or unicodedata.category(character)[0] in "CZ" for character in url):
        raise invalid("an address has no spaces, control characters or backslashes; %20 stands for a space")


def host_of(text: str) -> str:
    """A name, or an address in its usual form. Raises FetchFailed."""
    if text.startswith("["):
        try:
            return str(IPv6Address(text[1:-1]))
        except ValueError as error:
            raise invalid("its host is no IPv6 address") from error
    try:
        # Names in other scripts as the name system knows them; ASCII ones may have underscores, too.
        name = (text if text.isascii() else idna.encode(text.lower()).decode()).lower()
    except UnicodeError as error:
        raise invalid("its host is no name that the domain name system can have") from error
    labels = name.split(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise invalid("its host is no name that the domain name system can have")
    if _NUMBER.fullmatch(labels[-1]):
        try:
            return str(IPv4Address(name))
        except ValueError as error:
            raise invalid("a host in numbers is written as four decimal numbers without leading zeros") from error
    return name


def redirected(target: Target, location: str, ports: Collection[int]) -> Target:
    """Where an answer sends us on to. Raises FetchFailed."""
    check_characters(location)
    try:
        # Header bytes beyond ASCII come as Latin-1.
        quoted = quote(location, _MEANINGFUL, encoding="latin-1")
        url = urljoin(f"{target.scheme}://{target.authority}{target.path}", quoted)
    except ValueError as error:
        raise invalid("it is redirected to an address that cannot be read") from error
    found = parse(url, ports)
    if target.scheme == "https" and found.scheme == "http":
        raise FetchFailed("forbidden_url", "it is redirected from https to http")
    return found


def check_addresses(host: str, addresses: Sequence[Address], allowed_hosts: Collection[str]) -> None:
    """Raises FetchFailed unless every address is public or allowed.

    A host that is unknown gets the same words, so that nobody learns which names our own network has.
    """
    harmless = [is_public(address) or is_allowed(host, address, allowed_hosts) for address in addresses]
    if not harmless or not all(harmless):
        raise FetchFailed(
            "forbidden_url",
            "its host is unknown, or has an address that is not public (which the operator can allow: "
            "QUEUE_FETCH_ALLOWED_HOSTS)",
        )


def is_public(address: Address) -> bool:
    if isinstance(address, IPv4Address):
        return not any(address in network for network in NOT_PUBLIC_IPV4)
    return address in PUBLIC_IPV6 and not any(address in network for network in NOT_PUBLIC_IPV6)


def is_allowed(host: str, address: Address, allowed_hosts: Collection[str]) -> bool:
    """Whether the operator named the host itself, or a network that the address is in."""
    return host in allowed_hosts or any(address in network for network in networks_in(allowed_hosts))


def networks_in(allowed_hosts: Collection[str]) -> list[IPv4Network | IPv6Network]:
    networks = []
    for entry in allowed_hosts:
        try:
            networks.append(ip_network(entry))
        except ValueError:  # a name
            continue
    return networks


def filename_of(url: str) -> str:
    """The last part of the path, as people read it; empty where there is none."""
    return unquote(without_query(url).partition("://")[2].partition("/")[2].rpartition("/")[2])


def shown(url: str) -> str:
    """The address without what may be secret in it, and no longer than a line."""
    printable = "".join(character for character in without_query(url) if character.isprintable())
    shown = re.sub(r"//[^/]*@", "//", printable)
    return shown if len(shown) <= 120 else f"{shown[:119]}…"


def without_query(url: str) -> str:
    return re.split(r"[?#]", url, maxsplit=1)[0]


def invalid(why: str) -> FetchFailed:
    return FetchFailed("invalid_url", why)
