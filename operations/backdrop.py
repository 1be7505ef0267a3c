"""What stands behind a subject: a colour, another picture, or the picture's own background, blurred.

For child processes only.
"""

import math
from collections.abc import Callable, Sequence

import cv2
import numpy as np
from PIL import Image

from errors import PictureError
from operations import colour, flood, layers, resizing
from operations.box import Box
from operations.layers import Pixels
from operations.params import Params
from operations.params import colour as rgba_of
from operations.picture import Picture, decode

# What stands behind a window on the picture, in its size: height × width × 4, straight alpha.
Backdrop = Callable[[Box], Pixels]

# How many pixels of a background are blurred; with more, only the faintest blur would look any different.
_MOST_BLURRED = 1_500_000
# The subject's own weight in its background: counts where there is no other.
_LEAST_WEIGHT = 1e-3
# In pixels of what is blurred: around a subject its colour still shows.
_FRINGE = 2


def asked(
    picture: Picture, masks: Sequence[Pixels], params: Params, image: bytes | None, max_pixels: int
) -> Backdrop | None:
    """The backdrop that is asked for, in the colours of the picture's profile; `image` is the background picture.

    Raises PictureError (broken_background_image).
    """
    if "background" not in params.steps:
        return None
    if params.background_color is not None:
        return _plain(params.background_color, picture.icc_profile)
    if params.background_image is not None and image is not None:
        return _covering(_decoded(image, max_pixels), picture.icc_profile)
    if params.background_blur is not None:
        blurred = _blurred(picture, masks, params.background_blur)
        return lambda window: layers.seen_through(window, blurred, beyond=cv2.BORDER_REFLECT)
    return None


def _plain(text: str, profile: bytes | None) -> Backdrop:
    """A colour, given in sRGB."""
    red, green, blue, alpha = rgba_of(text)
    dot = colour.between(Image.new("RGB", (1, 1), (red, green, blue)), None, profile)
    red, green, blue = np.asarray(dot)[0, 0]
    return lambda window: layers.filled(window.width, window.height, (red, green, blue, alpha))


def _covering(image: Picture, profile: bytes | None) -> Backdrop:
    """The middle of another picture, no more of it cut off than has to be."""

    def fitted(window: Box) -> Pixels:
        height, width = image.rgba.shape[:2]
        scale = max(window.width / width, window.height / height)
        used_width = max(1, min(width, round(window.width / scale)))
        used_height = max(1, min(height, round(window.height / scale)))
        left, top = (width - used_width) // 2, (height - used_height) // 2
        used = Box(left, top, left + used_width, top + used_height).of(image.rgba)
        rgba = resizing.resize(used, window.width, window.height, opaque=image.opaque)
        colours = layers.image(rgba).convert("RGB")
        return np.dstack([np.asarray(colour.between(colours, image.icc_profile, profile)), rgba[..., 3]])

    return fitted


def _decoded(image: bytes, max_pixels: int) -> Picture:
    try:
        return decode(image, max_pixels)
    except PictureError as error:
        raise PictureError("broken_background_image", f"The background picture cannot be used. {error}") from error


def _blurred(picture: Picture, masks: Sequence[Pixels], strength: float) -> Pixels:
    """The picture's own background, its subject's place filled with what lies around; see Params for the strength."""
    height, width = picture.rgba.shape[:2]
    sigma = strength / 1000 * min(width, height)
    shrink = max(1.0, sigma / layers.FINE_SIGMA, math.sqrt(width * height / _MOST_BLURRED))
    size = max(1, round(width / shrink)), max(1, round(height / shrink))
    small = cv2.resize(picture.rgba, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    subject = np.max([cv2.resize(mask, size, interpolation=cv2.INTER_AREA) for mask in masks], axis=0)
    subject = cv2.dilate(subject, np.ones([2 * _FRINGE + 1] * 2, np.uint8))
    weight = (1 - subject / np.float32(255)) * (small[..., 3] / 255)
    filled = np.dstack([flood.flooded(small[..., :3], np.maximum(weight, _LEAST_WEIGHT)), small[..., 3]])
    soft = cv2.GaussianBlur(filled, (0, 0), sigma / shrink, borderType=cv2.BORDER_REFLECT)
    levels = np.clip(np.rint(soft), 0, 255).astype(np.uint8)
    return np.asarray(cv2.resize(levels, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
