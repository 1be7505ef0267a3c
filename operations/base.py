"""What an operation on a picture is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, Protocol

from pydantic import BaseModel

from job import PreviewOf

if TYPE_CHECKING:
    from models.sessions import Session


# What a file's smallness is worth in time; the figures are in operations/png.py.
Compression = Literal["fast", "balanced", "small"]

NO_ATTACHMENTS: Mapping[str, bytes] = MappingProxyType({})


@dataclass(frozen=True)
class Result:
    """A finished picture: its encoded bytes, size in pixels and what a person should know of how it was made."""

    data: bytes
    content_type: str
    extension: str
    width: int
    height: int
    notes: Mapping[str, object] = field(default_factory=dict)
    # Small pictures of what came and of what was made of it; their types are in job.PREVIEW_TYPES.
    previews: Mapping[PreviewOf, bytes] = field(default_factory=dict)


class Operation(Protocol):
    """One thing that can be done to a picture; runs in a child process."""

    @property
    def name(self) -> str: ...

    @property
    def Params(self) -> type[BaseModel]: ...

    @property
    def attachments(self) -> Sequence[str]:
        """Those of its params that stand for a file which came along; `run` gets the bytes of those that are set."""
        ...

    def run(
        self,
        image: bytes,
        params: BaseModel,
        session: "Session",
        max_pixels: int,
        attachments: Mapping[str, bytes] = NO_ATTACHMENTS,
    ) -> Result:
        """Do it. Raises PictureError when this picture can never be processed."""
        ...
