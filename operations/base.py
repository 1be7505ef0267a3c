"""What an operation on a picture is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from pydantic import BaseModel

if TYPE_CHECKING:
    from models.sessions import Session


# What a file's smallness is worth in time; the figures are in operations/png.py.
Compression = Literal["fast", "balanced", "small"]


@dataclass(frozen=True)
class Result:
    """A finished picture: its encoded bytes, size in pixels and what a person should know of how it was made."""

    data: bytes
    content_type: str
    extension: str
    width: int
    height: int
    notes: Mapping[str, object] = field(default_factory=dict)


class Operation(Protocol):
    """One thing that can be done to a picture; runs in a child process."""

    @property
    def name(self) -> str: ...

    @property
    def Params(self) -> type[BaseModel]: ...

    def run(self, image: bytes, params: BaseModel, session: "Session", max_pixels: int) -> Result:
        """Do it. Raises PictureError when this picture can never be processed."""
        ...
