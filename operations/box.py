"""Rectangles and lengths on a picture."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Pixel = TypeVar("Pixel", bound=np.generic)

# Something that is so or not at the top, right, bottom and left.
Sides = tuple[bool, bool, bool, bool]


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels of a picture, beyond which it may reach; right and bottom are the first outside of it."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top

    def grown(self, top: int, right: int, bottom: int, left: int) -> "Box":
        return Box(self.left - left, self.top - top, self.right + right, self.bottom + bottom)

    def moved(self, right: int, down: int) -> "Box":
        return Box(self.left + right, self.top + down, self.right + right, self.bottom + down)

    def joined(self, other: "Box") -> "Box":
        """The smallest box around both."""
        return Box(
            min(self.left, other.left),
            min(self.top, other.top),
            max(self.right, other.right),
            max(self.bottom, other.bottom),
        )

    def shared(self, other: "Box") -> "Box":
        """What lies in both; its width or height is not above 0 when nothing does."""
        return Box(
            max(self.left, other.left),
            max(self.top, other.top),
            min(self.right, other.right),
            min(self.bottom, other.bottom),
        )

    def reaches(self, edges: "Box") -> Sides:
        """Which edges of another box it touches, or lies beyond."""
        return self.top <= edges.top, self.right >= edges.right, self.bottom >= edges.bottom, self.left <= edges.left

    def of(self, pixels: NDArray[Pixel]) -> NDArray[Pixel]:
        """A view of what lies in the box, which does not reach beyond."""
        return pixels[self.top : self.bottom, self.left : self.right]


def whole(pixels: NDArray[Pixel]) -> Box:
    """All of a picture."""
    return Box(0, 0, pixels.shape[1], pixels.shape[0])


def in_pixels(length: tuple[float, bool], side: int) -> int:
    """A number and whether it means per cent of a side, as operations.params.lengths gives them."""
    number, relative = length
    return round(number * side / 100 if relative else number)
