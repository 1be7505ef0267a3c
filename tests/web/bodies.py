"""Multipart bodies byte by byte: what browsers and curl send, and what nobody should."""

from collections.abc import Mapping

from tests.queues import PICTURE

BOUNDARY = b"----boundary7MA4YWxk"
CONTENT_TYPE = f"multipart/form-data; boundary={BOUNDARY.decode()}"
END = b"--" + BOUNDARY + b"--\r\n"


def part(disposition: bytes, content: bytes = PICTURE, headers: bytes = b"") -> bytes:
    lines = (b"--" + BOUNDARY, b"Content-Disposition: " + disposition, *([headers] if headers else ()), b"", content)
    return b"\r\n".join(lines) + b"\r\n"


def image(filename: bytes = b"cat.png", content: bytes = PICTURE) -> bytes:
    return part(b'form-data; name="images"; filename="' + filename + b'"', content, b"Content-Type: image/png")


def field(name: bytes, value: bytes) -> bytes:
    return part(b'form-data; name="' + name + b'"', value)


def request(body: bytes, headers: Mapping[str, str] | None = None) -> bytes:
    """A whole HTTP request, to be sent through a socket."""
    sent = {
        "Host": "127.0.0.1",
        "Content-Type": CONTENT_TYPE,
        "Content-Length": f"{len(body)}",
        "Connection": "close",
        **(headers or {}),
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
    return f"POST /queue/submit HTTP/1.1\r\n{lines}\r\n".encode() + body
