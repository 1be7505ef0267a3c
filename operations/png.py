"""RGBA or grey pixels as a PNG file, by ISA-L or zlib: in a fraction of the time that Pillow takes by default."""

import struct
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from operations.base import Compression

# Cutouts of three photos with 3 megapixels; Pillow with its defaults takes 460 to 720 ms for a file of size 1. `fast`
# takes 20 ms for one of 1.07 to 1.11, `balanced` 110 to 140 ms for 1.03 to 1.08, `small` up to 2 s for 0.96 to 1.04.
_PACKERS: Mapping[Compression, Callable[[], Any]] = {
    "fast": lambda: isal_zlib.compressobj(2),
    "balanced": lambda: zlib.compressobj(4),
    "small": lambda: zlib.compressobj(9),
}
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_EIGHT_BITS, _GREY, _RGBA = 8, 0, 6
_UP = 2  # each byte as its difference to the one above: of all filters that take no choice, it gives the smallest files
_STRIP_BYTES = 2**19  # what is filtered at once: stays in the processor's cache on its way to the packer


def encode(pixels: NDArray[np.uint8], icc_profile: bytes | None = None, compression: Compression = "fast") -> bytes:
    """A height × width × 4 array with straight alpha, which an RGB profile may accompany, or a grey one without it."""
    height, width = pixels.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, _EIGHT_BITS, _GREY if pixels.ndim == 2 else _RGBA, 0, 0, 0)
    profile = b"" if icc_profile is None else _chunk(b"iCCP", b"ICC profile\0\0", zlib.compress(icc_profile))
    rows = np.ascontiguousarray(pixels).reshape(height, -1)
    packed = (_chunk(b"IDAT", piece) for piece in _packed(rows, compression) if piece)
    return b"".join((_SIGNATURE, _chunk(b"IHDR", header), profile, *packed, _chunk(b"IEND")))


def _packed(rows: NDArray[np.uint8], compression: Compression) -> list[bytes]:
    """The filtered and deflated rows, in pieces."""
    height, row_bytes = rows.shape
    packer = _PACKERS[compression]()
    strip_rows = max(1, _STRIP_BYTES // row_bytes)
    strip = np.empty((strip_rows, 1 + row_bytes), np.uint8)
    strip[:, 0] = _UP
    pieces = []
    for top in range(0, height, strip_rows):
        bottom = min(top + strip_rows, height)
        filtered = strip[: bottom - top]
        if top == 0:
            filtered[0, 1:] = rows[0]
            np.subtract(rows[1:bottom], rows[: bottom - 1], out=filtered[1:, 1:])
        else:
            np.subtract(rows[top:bottom], rows[top - 1 : bottom - 1], out=filtered[:, 1:])
        pieces.append(packer.compress(filtered))
    return [*pieces, packer.flush()]


def _chunk(kind: bytes, *content: bytes) -> bytes:
    checksum = isal_zlib.crc32(kind)
    for piece in content:
        checksum = isal_zlib.crc32(piece, checksum)
    return b"".join((struct.pack(">I", sum(map(len, content))), kind, *content, struct.pack(">I", checksum)))
