"""Work on a large picture where there is something to do, in pieces that fit into a processor's cache."""

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from operations.box import Box

SIDE = 256


def bounds(where: NDArray[np.uint8]) -> Box:
    """The smallest rectangle with all that is not zero."""
    left, top, width, height = cv2.boundingRect(where)
    return Box(left, top, left + width, top + height)


def tiles(where: NDArray[np.uint8]) -> Iterator[Box]:
    """Squares that together hold all that is not zero, without those that hold nothing."""
    height, width = where.shape
    for top in range(0, height, SIDE):
        for left in range(0, width, SIDE):
            tile = Box(left, top, min(left + SIDE, width), min(top + SIDE, height))
            if cv2.hasNonZero(tile.of(where)):
                yield tile


def enlarged(small: NDArray[np.float32], size: tuple[int, int], tile: Box) -> NDArray[np.float32]:
    """One tile of what `small`, with up to 4 channels, is when it is enlarged to height and width, bilinearly."""
    down, across = small.shape[0] / size[0], small.shape[1] / size[1]
    placed: Any = np.array(
        [[across, 0, (tile.left + 0.5) * across - 0.5], [0, down, (tile.top + 0.5) * down - 0.5]], np.float64
    )
    shape, flags = (tile.width, tile.height), cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(small, placed, shape, flags=flags, borderMode=cv2.BORDER_REPLICATE), np.float32)


def reduced(pixels: NDArray[Any], most_pixels: int) -> NDArray[Any]:
    """The mean of each area, so that no more pixels are left; the same array when it has no more."""
    height, width = pixels.shape[:2]
    scale = (most_pixels / (height * width)) ** 0.5
    if scale >= 1:
        return pixels
    size = max(1, int(width * scale)), max(1, int(height * scale))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))
