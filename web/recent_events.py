"""The latest events of a stream, encoded once for everybody who follows it."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import takewhile

# What is kept for streams that are a little behind; those further behind read the database.
MOST_BYTES = 4 * 2**20
# What is handed to a connection at once, so that one that is not read holds little memory.
PIECE_BYTES = 64 * 1024


@dataclass(frozen=True)
class Event:
    """The latest change of a job by its number, as it goes over the wire."""

    job_id: str
    number: int
    wire: bytes


class RecentEvents:
    """One event for each job. Whoever has seen the number `floor`, or a later one, finds all later changes here."""

    def __init__(self, floor: int) -> None:
        self.floor = self.newest = floor
        # In the order of their numbers.
        self._events: dict[str, Event] = {}
        self._bytes = 0
        # Most streams have seen the same number, so they are given the same bytes.
        self._pieces: dict[int, tuple[bytes, int]] = {}

    def add(self, events: Iterable[Event]) -> None:
        """Events later than all others; the oldest go when there is no room for them."""
        for event in events:
            before = self._events.pop(event.job_id, None)
            self._bytes += len(event.wire) - (len(before.wire) if before else 0)
            self._events[event.job_id] = event
            self.newest = event.number
        while self._bytes > MOST_BYTES:
            oldest = next(iter(self._events.values()))
            self._bytes -= len(oldest.wire)
            self.floor = oldest.number
            del self._events[oldest.job_id]
        self._pieces.clear()

    def reach_back(self, floor: int, events: Iterable[Event]) -> bool:
        """Put events before all others, so that `floor` is the floor; False when there is no room for them."""
        older = {
            event.job_id: event
            for event in events
            # Of a job that has changed again meanwhile the later event is here already, at its own place.
            if event.number <= self.floor and event.job_id not in self._events
        }
        size = sum(len(event.wire) for event in older.values())
        if self._bytes + size > MOST_BYTES:
            return False
        self._events = {**older, **self._events}
        self._bytes += size
        self.floor = min(self.floor, floor)
        self._pieces.clear()
        return True

    def after(self, number: int) -> tuple[bytes, int]:
        """The next piece for who has seen `number`, which is not below the floor, and the last number in it."""
        if number not in self._pieces:
            self._pieces[number] = self._piece_after(number)
        return self._pieces[number]

    def _piece_after(self, number: int) -> tuple[bytes, int]:
        later = list(takewhile(lambda event: event.number > number, reversed(self._events.values())))
        piece = b""
        while later and (not piece or len(piece) + len(later[-1].wire) <= PIECE_BYTES):
            event = later.pop()
            piece, number = piece + event.wire, event.number
        return piece, number
