"""How one address takes pictures: the fields they come in, and what its words mean in ours."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from web.multipart import QUEUE_FIELDS, FileFields

# Text of a query or a form; JSON has other values too.
Words = Mapping[str, object]


def unchanged(words: Words) -> Mapping[str, object]:
    return words


@dataclass(frozen=True)
class Door:
    """`in_our_words` gets query and form together and raises InvalidRequest.

    `own` are names in the query that are for the address itself.
    """

    file_fields: FileFields
    in_our_words: Callable[[Words], Mapping[str, object]] = unchanged
    own: frozenset[str] = frozenset()

    def parameters(self, query: Words, fields: Words) -> Mapping[str, object]:
        """A form field counts more."""
        asked = {name: value for name, value in query.items() if name not in self.own}
        return self.in_our_words({**asked, **fields})


QUEUE = Door(QUEUE_FIELDS)
