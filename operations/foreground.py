"""The true colour of soft edges, without what the old background added to it.

A pixel of a soft edge is colour = alpha · foreground + (1 - alpha) · background. Blur-fusion (Forte and Pitié,
"Approximate Fast Foreground Colour Estimation", 2021) takes for both the weighted mean of what is around, and corrects
the foreground by what then is missing. Two changes make it three times as exact (docs/quality.md): both colours are
corrected, by the least change that gives the pixel its own colour again, and the radius shrinks in more steps; the wide
ones are done in a small picture, the narrow ones around soft pixels of the whole.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from operations.box import whole
from operations.tiles import enlarged, reduced, tiles

Pixels = NDArray[np.uint8]
Levels = NDArray[np.float32]

COARSE_PIXELS = 250_000
# Radii of neighbourhoods in pixels, in the small picture and then in the whole.
COARSE_RADII = (45, 15, 5, 2)
FINE_RADII = (2, 1)
_LEAST = np.float32(1e-6)


def decontaminate(rgba: Pixels, mask: Pixels, cutout: Pixels) -> None:
    """Write foreground colours into a cutout of that mask, where it is soft. All are height × width [× 4]."""
    visible = cutout[..., 3] > 0
    soft = np.asarray(cv2.inRange(mask, np.array(1), np.array(254)), np.uint8) & visible.view(np.uint8)
    if not cv2.hasNonZero(soft):
        return
    coarse = _estimated(
        _levels(reduced(rgba, COARSE_PIXELS)[..., :3]), _levels(reduced(mask, COARSE_PIXELS)), None, COARSE_RADII
    )
    size = mask.shape[0], mask.shape[1]
    for tile in tiles(soft):
        around = tile.grown(*[sum(FINE_RADII)] * 4).shared(whole(mask))
        before = enlarged(coarse[0], size, around), enlarged(coarse[1], size, around)
        colours, alpha = _levels(around.of(rgba)[..., :3]), _levels(around.of(mask))
        foreground, _ = _estimated(colours, alpha, before, FINE_RADII)
        inner = tile.moved(-around.left, -around.top).of(foreground)
        where = tile.of(soft) > 0
        tile.of(cutout)[where, :3] = np.rint(inner[where] * 255).astype(np.uint8)


def _estimated(
    colours: Levels, mask: Levels, before: tuple[Levels, Levels] | None, radii: Sequence[int]
) -> tuple[Levels, Levels]:
    """Foreground and background, 0 to 1, better than those before; at first both are the picture itself."""
    foreground, background = before or (colours, colours)
    alpha = mask[..., None]
    rest = 1 - alpha
    # Squares, because a colour is the less certain the less of it there is.
    front, back = alpha * alpha, rest * rest
    share = 1 / (front + back)
    for radius in radii:
        near = _mean(foreground * front, radius) / np.maximum(_mean(front, radius), _LEAST)
        far = _mean(background * back, radius) / np.maximum(_mean(back, radius), _LEAST)
        missing = (colours - alpha * near - rest * far) * share
        foreground = np.clip(near + alpha * missing, 0, 1)
        background = np.clip(far + rest * missing, 0, 1)
    return foreground, background


def _mean(values: Levels, radius: int) -> Levels:
    side = 2 * radius + 1
    blurred = cv2.blur(values, (side, side), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(blurred, np.float32).reshape(values.shape)


def _levels(pixels: Pixels) -> Levels:
    return pixels.astype(np.float32) / np.float32(255)
