"""The body of a submit."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from urllib3.fields import RequestField

from cli.trouble import Trouble

CHUNK_BYTES = 2**16


@dataclass(frozen=True)
class Part:
    """A file in the body, if it is one: its size in bytes when the upload was made, and what goes before it."""

    path: Path | None
    size: int
    head: bytes


class Upload:
    """Files, and addresses of pictures, as one multipart body, read piece by piece.

    `key` is the boundary between them and names this upload to the service. `len` is the exact length of the body in
    bytes: requests makes Content-Length of it. `advance` is told how many bytes of the files went out. `is_whole` says
    whether the body has gone out to its end, so that the service may have queued the job. `attachments` belong to the
    whole job: they go first, and `advance` does not count them.
    """

    def __init__(
        self,
        sources: Sequence[Path | str],
        advance: Callable[[int], object],
        attachments: Mapping[str, Path | str] | None = None,
    ) -> None:
        self.key = os.urandom(16).hex()
        self.is_whole = False
        self._advance = advance
        self._advanced = 0
        self._attachments = [self._part(name, source) for name, source in (attachments or {}).items()]
        self._parts = [self._part("image_url" if isinstance(source, str) else "images", source) for source in sources]
        self._end = f"\r\n--{self.key}--\r\n".encode()
        self.len = sum(len(part.head) + part.size for part in self._attachments + self._parts) + len(self._end)

    def _part(self, field_name: str, source: Path | str) -> Part:
        """A file, or an address, which stands in the body as it is."""
        if isinstance(source, str):
            field = RequestField.from_tuples(field_name, source)
            path, size, address = None, 0, source
        else:
            field = RequestField.from_tuples(field_name, (source.name, "", "application/octet-stream"))
            path, size, address = source, source.stat().st_size, ""
        head = f"\r\n--{self.key}\r\n{field.render_headers()}{address}".encode("utf-8", "replace")
        return Part(path, size, head)

    def __iter__(self) -> Iterator[bytes]:
        # It is sent again after a 429 or a lost connection: the count starts anew.
        self._advance(-self._advanced)
        self._advanced = 0
        for part in self._attachments:
            yield part.head
            yield from contents(part)
        for part in self._parts:
            yield part.head
            for piece in contents(part):
                yield piece
                self._advanced += len(piece)
                self._advance(len(piece))
        self.is_whole = True
        yield self._end


def contents(part: Part) -> Iterator[bytes]:
    """The file's bytes, as many as were announced. Raises Trouble if it cannot be read or became shorter."""
    if part.path is None:
        return
    left = part.size
    try:
        with part.path.open("rb") as file:
            while left and (piece := file.read(min(CHUNK_BYTES, left))):
                left -= len(piece)
                yield piece
    except OSError as error:  # would otherwise pass for trouble with the connection
        raise Trouble(f"Cannot read {part.path}: {error.strerror}.") from error
    if left:
        raise Trouble(f"{part.path} became shorter while it was being sent.")
