"""Small pictures for lists and pages, made of pixels that are at hand anyway. For child processes only."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

import cv2
import numpy as np
from PIL import Image

from operations import encoding, layers
from operations.layers import Pixels
from operations.params import Params
from operations.picture import Picture

LONGEST_SIDE = 320
# Each of their pixels is the mean of so many by so many, taken evenly from the place that it stands for: all of them
# would take 28 ms of 12 megapixels, these take 1 and show a little more of the grain.
_SAMPLES = 2
_JPEG: Mapping[str, Any] = {"quality": 80}
# Cutouts of three photos take 1.5 to 3 ms and 10 to 17 KB. As PNG they take 0.3 to 0.6 ms and 80 to 145 KB, too much
# for a page that shows a hundred; without a coarser alpha 2.5 to 5 ms and 13 to 24 KB.
_WEBP: Mapping[str, Any] = {"quality": 60, "alpha_quality": 60, "method": 0}
# That of a phone or camera has up to 3 KB. Without its profile a preview's colours are a little off, and no more.
_LONGEST_PROFILE = 4096


def of_input(picture: Picture) -> bytes:
    """JPEG; before white, where the picture is not opaque."""
    small = _shrunk(picture.rgba, opaque=picture.opaque)
    if not picture.opaque:
        small = layers.over(small, np.full_like(small, 255))
    return _saved(layers.image(small).convert("RGB"), "JPEG", picture.icc_profile, _JPEG)


def of_result(cutouts: Sequence[Pixels], alphas: Sequence[Pixels], icc_profile: bytes | None, params: Params) -> bytes:
    """WebP of the mask where that alone was asked for, else of the cutout."""
    if params.output == "mask":
        return _saved(layers.image(_shrunk(encoding.stacked(alphas), opaque=True)), "WEBP", None, _WEBP)
    small = _shrunk(encoding.stacked(cutouts), opaque=False)
    if params.format == "jpg":
        small = layers.over(small, np.full_like(small, 255))
    return _saved(layers.image(small), "WEBP", icc_profile, _WEBP)


def _saved(image: Image.Image, kind: str, icc_profile: bytes | None, options: Mapping[str, Any]) -> bytes:
    stream = BytesIO()
    short = icc_profile if icc_profile is not None and len(icc_profile) <= _LONGEST_PROFILE else None
    image.save(stream, kind, icc_profile=short, **options)
    return stream.getvalue()


def _shrunk(pixels: Pixels, *, opaque: bool) -> Pixels:
    """As large as a preview may be, or as it is; what cannot be seen lends its neighbours no colour."""
    height, width = pixels.shape[:2]
    shrink = max(height, width) / LONGEST_SIDE
    if shrink <= 1:
        return pixels
    size = max(1, round(width / shrink)), max(1, round(height / shrink))
    taken = cv2.resize(pixels, (size[0] * _SAMPLES, size[1] * _SAMPLES), interpolation=cv2.INTER_NEAREST_EXACT)
    if opaque:
        return np.asarray(cv2.resize(taken, size, interpolation=cv2.INTER_AREA), np.uint8)
    mean = cv2.resize(cv2.cvtColor(taken, cv2.COLOR_RGBA2mRGBA), size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(mean, cv2.COLOR_mRGBA2RGBA), np.uint8)
