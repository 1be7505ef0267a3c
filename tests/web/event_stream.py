"""A client that follows a stream of events."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import requests

TIMEOUT_SECONDS = 10


@dataclass(frozen=True)
class Told:
    """One event; of a comment, its text is the data."""

    event: str
    data: Any
    id: int | None


class Stream:
    """Events as they arrive. Everything waits for TIMEOUT_SECONDS at most."""

    def __init__(self, response: requests.Response) -> None:
        self.response = response
        self._blocks = blocks(response)

    def next(self, *kinds: str) -> Told:
        """The next event, or the next of these kinds."""
        for block in self._blocks:
            told = parsed(block)
            if told is not None and (not kinds or told.event in kinds):
                return told
        raise AssertionError("the stream is over")

    def rest(self) -> list[Told]:
        """All events until its end."""
        return [told for told in map(parsed, self._blocks) if told is not None]

    def until(self, kind: str, **data: object) -> list[Told]:
        """Events of this kind up to the first whose data has these values."""
        found = [self.next(kind)]
        while any(found[-1].data[name] != value for name, value in data.items()):
            found.append(self.next(kind))
        return found


def blocks(response: requests.Response) -> Iterator[str]:
    text = b""
    for arrived in response.iter_content(None):
        *whole, text = (text + arrived).split(b"\n\n")
        yield from (block.decode() for block in whole)
    assert not text, f"the stream was cut off: {text!r}"


def parsed(block: str) -> Told | None:
    """None for a block that only says when to come back."""
    fields = dict(line.split(": ", 1) for line in block.splitlines())
    if "" in fields:
        return Told("comment", fields[""], None)
    if fields.keys() == {"retry"}:
        return None
    return Told(fields["event"], json.loads(fields["data"]), int(fields["id"]) if "id" in fields else None)


@contextlib.contextmanager
def following(url: str, seen: int | str | None = None) -> Iterator[Stream]:
    headers = {} if seen is None else {"Last-Event-ID": str(seen)}
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_SECONDS) as response:
        assert response.status_code == 200, response.text
        assert response.headers["Content-Type"].startswith("text/event-stream")
        yield Stream(response)
