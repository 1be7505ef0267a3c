"""RGBA pixels as a PNG file, by OpenCV: in about a tenth of the time that Pillow takes with its defaults."""

import struct
import zlib

import cv2
import numpy as np
from numpy.typing import NDArray

# Signature (8), then the IHDR chunk (4 + 4 + 13 + 4), which the standard puts first; iCCP must precede the pixels.
_AFTER_HEADER = 33

# Measured on a cutout of 12 megapixels: 0.3 s and 14 MB; level 6 with every filter tried 2.5 s and 12 MB.
_SETTINGS = (cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP)


def encode(rgba: NDArray[np.uint8], icc_profile: bytes | None = None) -> bytes:
    """A height × width × 4 array with straight alpha as PNG, which an RGB profile may accompany."""
    _, encoded = cv2.imencode(".png", cv2.cvtColor(rgba, cv2.COLOR_RGBA2BGRA), _SETTINGS)
    if icc_profile is None:
        return encoded.tobytes()
    # OpenCV drops profiles, so the chunk goes in by hand: name, zero, compression method zero, deflated profile.
    chunk = _chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc_profile))
    return b"".join((encoded[:_AFTER_HEADER].tobytes(), chunk, encoded[_AFTER_HEADER:].tobytes()))


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
