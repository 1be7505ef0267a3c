"""Finished pixels as a file of the kind that was asked for. For child processes only."""

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Literal

import cv2
import numpy as np
from PIL import Image

from errors import PictureError
from operations import layers, png
from operations.layers import Pixels
from operations.params import Params

Kind = Literal["png", "webp", "jpg", "avif"]

# libjpeg's limit, that of the WebP format, and what decoders of AVIF read unless told otherwise.
_LONGEST_SIDE: Mapping[Kind, int] = {"png": 1_000_000, "webp": 16_383, "jpg": 65_500, "avif": 32_768}
_CONTENT_TYPES: Mapping[str, str] = {
    "png": "image/png",
    "webp": "image/webp",
    "jpg": "image/jpeg",
    "avif": "image/avif",
    "zip": "application/zip",
}
# A cutout of a photo with 12 megapixels takes 0.9 s as WebP by method 2 (by 0: 0.7 s for a file of 1.3 times the size,
# by 4: 1.5 s for the same size), and without loss, of which the quality is the effort, 0.5 s (with an effort of 100:
# 5.7 to 7.6 s for 0.8 to 0.9 of the size). It takes 0.9 s as AVIF by speed 9 (by 8: 1.3 s for 0.96 of the size).
_WEBP: Mapping[str, Any] = {"method": 2}
_WEBP_WITHOUT_LOSS: Mapping[str, Any] = {"lossless": True, "exact": True, "method": 0, "quality": 20}
# One thread, as everything in a child: the other cores have pictures of their own.
_AVIF: Mapping[str, Any] = {"speed": 9, "max_threads": 1}
# Two of the largest blocks that JPEG makes of colours, 16 pixels, and one in the middle.
_JPEG_REACH = 33
_NO_TIME = (1980, 1, 1, 0, 0, 0)  # the same pictures give the same ZIP


@dataclass(frozen=True)
class File:
    data: bytes
    extension: str

    @property
    def content_type(self) -> str:
        return _CONTENT_TYPES[self.extension]


def encode(cutouts: Sequence[Pixels], alphas: Sequence[Pixels], icc_profile: bytes | None, params: Params) -> File:
    """Cutouts, height × width × 4, or their alphas, or a ZIP of both: `cutout.<its extension>` and `mask.png`.

    `layers` is remove.bg's ZIP: `color.jpg`, to be seen through `alpha.png`. Several stand one below the other. Raises
    PictureError (too_large_for_format).
    """
    if params.output == "mask":
        return _mask(stacked(alphas), params)
    pixels = stacked(cutouts)
    if params.output == "layers":
        _check_size(pixels, "jpg")
        colour = _saved(layers.image(_beyond_the_edge(pixels)), "jpg", params.quality, icc_profile)
        alpha = png.encode(layers.alpha(pixels), compression=params.png_compression)
        return _zip({"color.jpg": colour, "alpha.png": alpha})
    cutout = _picture(pixels, icc_profile, params)
    if params.output == "cutout":
        return cutout
    mask = png.encode(stacked(alphas), compression=params.png_compression)
    return _zip({f"cutout.{cutout.extension}": cutout.data, "mask.png": mask})


def _zip(files: Mapping[str, bytes]) -> File:
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:  # stored: pictures are packed already
        for name, data in files.items():
            packed.writestr(zipfile.ZipInfo(name, _NO_TIME), data)
    return File(archive.getvalue(), "zip")


def _beyond_the_edge(rgba: Pixels) -> Pixels:
    """The colours alone, going on a little where nothing can be seen: else JPEG would darken edges before black."""
    colours, seen = np.ascontiguousarray(rgba[..., :3]), (rgba[..., 3] > 0).astype(np.float32)
    around = (_JPEG_REACH, _JPEG_REACH)
    mean = cv2.blur(colours.astype(np.float32), around) / np.maximum(cv2.blur(seen, around), 1e-6)[..., None]
    return np.where(seen[..., None] > 0, colours, np.clip(mean, 0, 255).astype(np.uint8))


def stacked(parts: Sequence[Pixels]) -> Pixels:
    return np.vstack(parts) if len(parts) > 1 else parts[0]


def _picture(rgba: Pixels, icc_profile: bytes | None, params: Params) -> File:
    kind: Kind = _automatic(rgba, params) if params.format == "auto" else params.format
    _check_size(rgba, kind)
    if kind == "png":
        return File(png.encode(rgba, icc_profile, params.png_compression), kind)
    opaque = _is_opaque(rgba)
    if kind == "jpg" and not opaque:
        rgba, opaque = layers.over(rgba, np.full_like(rgba, 255)), True
    image = layers.image(rgba)
    return File(_saved(image.convert("RGB") if opaque else image, kind, params.quality, icc_profile), kind)


def _mask(alpha: Pixels, params: Params) -> File:
    kind: Kind = "png" if params.format == "auto" else params.format
    _check_size(alpha, kind)
    if kind == "png":
        return File(png.encode(alpha, compression=params.png_compression), kind)
    return File(_saved(layers.image(alpha), kind, params.quality, None), kind)


def _is_opaque(rgba: Pixels) -> bool:
    """Most cutouts show in their first rows that they are not."""
    rows = max(1, 2**16 // rgba.shape[1])
    return all(rgba[top : top + rows, :, 3].min() == 255 for top in range(0, len(rgba), rows))


def _automatic(rgba: Pixels, params: Params) -> Kind:
    """Whoever asks for no background wants transparency, even where the subject fills the picture."""
    fits = max(rgba.shape) <= _LONGEST_SIDE["jpg"]
    return "jpg" if params.has_background and fits and _is_opaque(rgba) else "png"


def _check_size(pixels: Pixels, kind: Kind) -> None:
    height, width = pixels.shape[:2]
    if max(width, height) > _LONGEST_SIDE[kind]:
        raise PictureError(
            "too_large_for_format",
            f"The result has {width} × {height} pixels, and {kind} can hold {_LONGEST_SIDE[kind]:,} pixels a "
            "side: ask for png, or for fewer megapixels.",
        )


def _saved(image: Image.Image, kind: Kind, quality: int, icc_profile: bytes | None) -> bytes:
    options: dict[str, Any] = {"quality": quality}
    if icc_profile is not None:
        options["icc_profile"] = icc_profile
    if kind == "webp":
        options |= _WEBP if quality < 100 else _WEBP_WITHOUT_LOSS
    elif kind == "avif":
        options |= _AVIF
    stream = BytesIO()
    image.save(stream, {"jpg": "JPEG", "webp": "WEBP", "avif": "AVIF"}[kind], **options)
    return stream.getvalue()
