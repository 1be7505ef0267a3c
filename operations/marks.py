"""What a person points at in a picture, for models that can be asked about it: points and rectangles."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, TypeAdapter, ValidationError

# Of all models, only this one looks where it is told.
PROMPTED_MODEL = "sam"

Place = Annotated[FiniteFloat, Field(ge=0)]


class Point(BaseModel):
    """Something at x, y, in pixels of the upright picture, that belongs to the subject (1) or does not (0)."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["point"]
    data: tuple[Place, Place]
    label: Literal[0, 1]


def _in_order(corners: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    left, top, right, bottom = corners
    if left >= right or top >= bottom:
        raise ValueError("x1 must be smaller than x2, and y1 smaller than y2")
    return corners


class Rectangle(BaseModel):
    """x1, y1, x2, y2 around the subject. rembg's clients send a label with it, which means nothing."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["rectangle"]
    data: Annotated[tuple[Place, Place, Place, Place], AfterValidator(_in_order)]
    label: int = 0


Mark = Annotated[Point | Rectangle, Field(discriminator="type")]
_MARKS = TypeAdapter(Annotated[list[Mark], Field(min_length=1, max_length=100)])


def read(text: str) -> list[Point | Rectangle]:
    """The marks that a JSON text lists. Raises ValueError with one sentence."""
    try:
        return _MARKS.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "it"
        raise ValueError(
            'it must be JSON such as [{"type": "point", "data": [120, 80], "label": 1}] or '
            f'[{{"type": "rectangle", "data": [10, 10, 200, 150]}}], and {place} is not: {first["msg"]}'
        ) from error


def for_rembg(marks: Sequence[Point | Rectangle], scale: float, left: int, top: int) -> list[dict[str, object]]:
    """As rembg takes them, in a picture that was scaled and of which the part from `left` and `top` is looked at."""
    return [
        mark.model_dump()
        | {"data": [scale * place - (top if number % 2 else left) for number, place in enumerate(mark.data)]}
        for mark in marks
    ]
