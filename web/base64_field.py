"""A picture in base64 that comes as a form field: kept as it is until it is whole, then decoded."""

from collections.abc import Callable, Iterator
from typing import BinaryIO
from urllib.parse import unquote_plus

from submission import Submission
from web.json_body import decode_into, whole_escapes


def from_url_encoding(data: bytes) -> str:
    return unquote_plus(data.decode("latin-1"), errors="replace")


def plain(data: bytes) -> str:
    return data.decode("latin-1")


class Base64Field:
    """Its methods write to storage, so they block."""

    def __init__(self, submission: Submission, decoded: Callable[[bytes], str] = plain) -> None:
        self._submission = submission
        self._decoded = decoded
        self._writer = submission.set_aside()

    def write(self, data: bytes) -> None:
        """Raises StorageFull."""
        self._submission.check_disk(len(data))
        self._writer.write(data)

    def finish(self) -> None:
        """Add the picture to the submission; an empty field is none. Raises TooManyFiles and RequestTooLarge."""
        with self._writer.reader() as stream:
            if stream.read(1):
                stream.seek(0)
                decode_into(self._submission.add(""), pieces(stream, self._decoded))
        self._submission.forget(self._writer)


def pieces(stream: BinaryIO, decoded: Callable[[bytes], str]) -> Iterator[str]:
    return map(decoded, whole_escapes(stream, b"%", longest=3))  # %2B
