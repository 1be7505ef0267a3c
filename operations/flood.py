"""Colours where there are none, from what lies around. For child processes only."""

import cv2
import numpy as np
from numpy.typing import NDArray

from operations import resizing
from operations.tiles import enlarged, tiles

Pixels = NDArray[np.uint8]
Levels = NDArray[np.float32]

# Of a picture, as many pixels are enough to tell what lies around.
_MOST_PIXELS = 250_000
# Of what cannot be seen: counts where nothing else can.
_LEAST_WEIGHT = np.float32(1e-9)


def flooded(colours: Levels, weight: Levels) -> Levels:
    """Colours where their weight is 1; the less it is, the more of what lies around flows in, from ever further away.

    Push and pull on a pyramid, as in Gortler et al., The Lumigraph (1996). Some weight must be above 0.
    """
    return _filled(colours * weight[..., None], weight)


def cover_hidden(rgba: Pixels) -> None:
    """Give pixels that cannot be seen the colours around them, in place: what they hide is no part of the picture."""
    hidden = np.asarray(cv2.inRange(rgba[..., 3], np.array(0), np.array(0)), np.uint8)
    if not cv2.hasNonZero(hidden):
        return
    height, width = hidden.shape
    small = resizing.resize(rgba, *resizing.fitting(width, height, _MOST_PIXELS), opaque=False).astype(np.float32)
    colours = flooded(small[..., :3], np.maximum(small[..., 3] / np.float32(255), _LEAST_WEIGHT))
    for tile in tiles(hidden):
        around = enlarged(colours, (height, width), tile)
        where = tile.of(hidden) > 0
        tile.of(rgba)[where, :3] = np.rint(np.clip(around[where], 0, 255)).astype(np.uint8)


def _filled(weighted: Levels, weight: Levels) -> Levels:
    height, width = weight.shape
    if max(height, width) <= 2:
        mean = weighted.sum(axis=(0, 1)) / weight.sum()
        return np.broadcast_to(mean, weighted.shape).astype(np.float32)
    coarser = _filled(np.asarray(cv2.pyrDown(weighted), np.float32), np.asarray(cv2.pyrDown(weight), np.float32))
    around = cv2.pyrUp(coarser, dstsize=(width, height))
    return np.asarray(weighted + around * (1 - weight[..., None]), np.float32)
