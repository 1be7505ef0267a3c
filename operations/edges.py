"""What is done to the edges of a mask, and to the colours there. For child processes only."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from operations import foreground, matting
from operations.params import Params

if TYPE_CHECKING:
    from models.refiner import Refiner

Pixels = NDArray[np.uint8]

# rembg's post_process: a Gaussian of 2 pixels, cut at 4 times that, then a threshold.
_SIGMA = 2.0
_SIDE = 17
_THRESHOLD = 127


def refine(rgba: Pixels, masks: Sequence[Pixels], params: Params, refiner: "Refiner | None" = None) -> list[Pixels]:
    """The masks as the parameters want their edges, for a height × width × 4 picture."""
    refined = list(masks)
    if "post_process_mask" in params.steps:
        refined = [hardened(mask) for mask in refined]
    if refiner is not None and "vitmatte" in params.steps:
        refined = [told(rgba, mask, params, refiner) for mask in refined]
    if "alpha_matting" in params.steps:
        refined = [matted(rgba, mask, params) for mask in refined]
    return refined


def told(rgba: Pixels, mask: Pixels, params: Params, refiner: "Refiner") -> Pixels:
    """By a network, where there is anything to tell."""
    trimap = _trimap(mask, params)
    return refiner.alpha(rgba, trimap) if (trimap == matting.UNKNOWN).any() else trimap


def matted(rgba: Pixels, mask: Pixels, params: Params) -> Pixels:
    """By alpha matting; as it was where that finds no way."""
    found = matting.matte(rgba, _trimap(mask, params))
    return mask if found is None else found


def _trimap(mask: Pixels, params: Params) -> Pixels:
    return matting.trimap(
        mask,
        params.alpha_matting_foreground_threshold,
        params.alpha_matting_background_threshold,
        params.alpha_matting_erode_size,
    )


def decontaminate(rgba: Pixels, masks: Sequence[Pixels], cutouts: Sequence[Pixels], params: Params) -> None:
    """Give the soft edges of the cutout of each mask their own colour, in place."""
    if "decontaminate" in params.steps:
        for mask, cutout in zip(masks, cutouts, strict=True):
            foreground.decontaminate(rgba, mask, cutout)


def hardened(mask: Pixels) -> Pixels:
    """Without specks, smooth, and either 0 or 255: rembg's post_process."""
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    opened = cv2.morphologyEx(mask, cv2.MORPH_OPEN, cross)
    blurred = cv2.GaussianBlur(opened.astype(np.float32), (_SIDE, _SIDE), _SIGMA, borderType=cv2.BORDER_REFLECT)
    return np.asarray(cv2.inRange(blurred, np.array(float(_THRESHOLD)), np.array(np.inf)), np.uint8)
