"""What can go wrong, always with a sentence for people.

Trouble
├── ConnectionLost    no answer came: the same request may succeed later
└── FilesRefused      the service names files that it does not take
"""

from typing import Any

Json = dict[str, Any]


class Trouble(Exception):
    """What was asked for cannot be done; the message is a sentence for people."""


class ConnectionLost(Trouble):
    """The service did not answer, or not to the end."""


class FilesRefused(Trouble):
    """The service refused an upload; `rejected` has an entry with `index` and `reason` for each file at fault."""

    def __init__(self, sentence: str, rejected: list[Json]) -> None:
        super().__init__(sentence)
        self.rejected = rejected


def in_words(error: Trouble | OSError) -> str:
    """An error as one sentence."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'Writing the answer'}: {error.strerror}."
    return str(error)
