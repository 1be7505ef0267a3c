"""How one address takes pictures: the fields they come in, and what its words mean in ours."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from errors import InvalidRequest
from web.multipart import QUEUE_FIELDS, FileFields
from web.sources import NAMES

# Text of a query or a form; JSON has other values too.
Words = Mapping[str, object]


def unchanged(words: Words) -> Words:
    return words


@dataclass(frozen=True)
class Door:
    """`in_our_words` is given what was said beside the pictures, and raises InvalidRequest.

    `sources` are its names for fields that hold pictures or addresses as text, with ours; `own` are names in the query
    that are for the address itself.
    """

    file_fields: FileFields
    in_our_words: Callable[[Words], Words] = unchanged
    sources: Mapping[str, str] = field(default_factory=dict)
    own: frozenset[str] = frozenset()

    def our_name(self, name: str) -> str:
        return self.sources.get(name, name)

    def check_own(self, fields: Words, path: str) -> None:
        """Raises InvalidRequest when what is for the address itself stands in the body."""
        if misplaced := sorted(self.own & fields.keys()):
            raise InvalidRequest(
                f"{misplaced[0]} is read from the query, not from the body: {path}?{misplaced[0]}=10, for example.",
                misplaced[0],
            )

    def parameters_in(self, query: Mapping[str, str]) -> Words:
        """What the query says beside addresses of pictures."""
        return {
            name: value for name, value in query.items() if self.our_name(name) not in NAMES and name not in self.own
        }


QUEUE = Door(QUEUE_FIELDS)
