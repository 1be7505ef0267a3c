"""Pictures with straight alpha, smaller or larger. For child processes only."""

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models import resample


def resize(rgba: NDArray[np.uint8], width: int, height: int, *, opaque: bool) -> NDArray[np.uint8]:
    """What cannot be seen lends its neighbours no colour. By LANCZOS; by HAMMING where not all is opaque.

    LANCZOS reaches beyond 255 beside an edge, where alpha is cut off and colour is not: edges would get a bright rim.
    """
    if (height, width) == rgba.shape[:2]:
        return rgba
    if opaque:
        return resample.resize(rgba, width, height)
    return np.array(Image.fromarray(np.ascontiguousarray(rgba)).resize((width, height), Image.Resampling.HAMMING))


def fitting(width: int, height: int, most_pixels: int | None) -> tuple[int, int]:
    """Width and height of the same shape with at most so many pixels, and at least one."""
    if most_pixels is None or width * height <= most_pixels:
        return width, height
    shrink = math.sqrt(most_pixels / (width * height))
    narrower = max(1, min(int(width * shrink), most_pixels))
    return narrower, max(1, min(int(height * shrink), most_pixels // narrower))
