"""LANCZOS as Pillow does it, bit by bit, in a fraction of the time: for the way into a model and for its mask.

Pillow (src/libImaging/Resample.c) makes each output pixel a sum of input pixels with fixed-point weights, first along
the rows, then along the columns, and rounds to 8 bits after each. So does this, but always along the columns, where
neighbours lie side by side and a processor adds many at once; for the other direction the picture is turned.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numba import njit, types
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

_RADIUS = 3.0  # of the LANCZOS kernel, in pixels of the smaller picture
_PRECISION_BITS = 32 - 8 - 2  # Pillow's PRECISION_BITS: room for a sum of 8-bit levels in 32 bits
_STRIP_ROWS = 64  # turned at once: of a large photo about a megabyte, which stays in the processor's cache


@dataclass(frozen=True)
class _Weights:
    """Output line n is the sum of `weights[n, k]` times input line `first[n] + k`, for k below `count[n]`."""

    first: NDArray[np.int64]
    count: NDArray[np.int64]
    weights: NDArray[np.int32]


def _lanczos(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.abs(x) < _RADIUS, np.sinc(x) * np.sinc(x / _RADIUS), 0.0)


def _weights(size_in: int, size_out: int) -> _Weights:
    """Pillow's precompute_coeffs and normalize_coeffs_8bpc."""
    scale = size_in / size_out
    stretch = max(scale, 1.0)
    support = _RADIUS * stretch
    centre = (np.arange(size_out) + 0.5) * scale
    first = np.maximum((centre - support + 0.5).astype(np.int64), 0)
    count = np.minimum((centre + support + 0.5).astype(np.int64), size_in) - first
    taps = np.arange(count.max())
    raw = _lanczos((taps + first[:, None] - centre[:, None] + 0.5) / stretch)
    raw[taps >= count[:, None]] = 0.0
    exact = raw / raw.sum(axis=1, keepdims=True) * (1 << _PRECISION_BITS)
    return _Weights(first, count, np.trunc(exact + np.copysign(0.5, exact)).astype(np.int32))


_ROWS_IN = types.Array(types.uint8, 2, "C", readonly=True)


# With its types said, it is compiled (or found compiled) on import and not under the first picture.
@njit(types.void(_ROWS_IN, types.int64[::1], types.int64[::1], types.int32[:, ::1], types.uint8[:, ::1]), cache=True)
def _sum_rows(
    rows: Pixels, first: NDArray[np.int64], count: NDArray[np.int64], weights: NDArray[np.int32], out: Pixels
) -> None:
    """Each row of `out` is a weighted sum of rows."""
    width = rows.shape[1]
    sums = np.empty(width, np.int32)
    for y in range(out.shape[0]):
        sums[:] = 1 << (_PRECISION_BITS - 1)
        for k in range(count[y]):
            weight = weights[y, k]
            row = rows[first[y] + k]
            for x in range(width):
                sums[x] += np.int32(row[x]) * weight
        for x in range(width):
            level = sums[x] >> _PRECISION_BITS
            out[y, x] = 0 if level < 0 else 255 if level > 255 else level


def _resized_columns(picture: Pixels, needed: _Weights) -> Pixels:
    """Height × width × channels to another height."""
    out = np.empty((len(needed.first), *picture.shape[1:]), np.uint8)
    rows = np.ascontiguousarray(picture).reshape(len(picture), -1)
    _sum_rows(rows, needed.first, needed.count, needed.weights, out.reshape(len(out), -1))
    return out


def _resized_rows(picture: Pixels, needed: _Weights) -> Pixels:
    """Height × width × channels to another width."""
    out = np.empty((len(picture), len(needed.first), *picture.shape[2:]), np.uint8)
    for top in range(0, len(picture), _STRIP_ROWS):
        turned = np.asarray(cv2.transpose(picture[top : top + _STRIP_ROWS]), np.uint8)
        strip = _resized_columns(turned.reshape(picture.shape[1], -1, *picture.shape[2:]), needed)
        out[top : top + _STRIP_ROWS] = strip.swapaxes(0, 1)
    return out


def resize(picture: Pixels, width: int, height: int) -> Pixels:
    """A picture or a mask, height × width [× 4], as Pillow's resize of RGBX or L with LANCZOS gives it."""
    old_height, old_width = picture.shape[:2]
    across, down = _weights(old_width, width), _weights(old_height, height)
    # Pillow's choice since version 13; it shows in the last bits.
    if old_height - height > max(0, 2 * (old_width - width)):
        return _resized_rows(_resized_columns(picture, down), across)
    return _resized_columns(_resized_rows(picture, across), down)
