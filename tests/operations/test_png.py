"""operations.png: what Pillow reads back is what went in."""

import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from operations.base import Compression
from operations.png import encode
from tests.pictures import ramp, rgb_profile

RGBA = np.dstack([ramp(), ramp()[..., 2]])
# Large enough to be filtered in several strips, the last of them a short one.
STRIPS = np.random.default_rng(1).integers(0, 256, (333, 1024, 4), np.uint8)


def chunks(png: bytes) -> list[tuple[bytes, bytes]]:
    """Kind and content of every chunk, whose checksums must be right."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    found, offset = [], 8
    while offset < len(png):
        length, kind = struct.unpack(">I4s", png[offset : offset + 8])
        content = png[offset + 8 : offset + 8 + length]
        (checksum,) = struct.unpack(">I", png[offset + 8 + length : offset + 12 + length])
        assert checksum == zlib.crc32(kind + content)
        found.append((kind, content))
        offset += 12 + length
    return found


@pytest.mark.parametrize("compression", ["fast", "balanced", "small"])
@pytest.mark.parametrize("profile", [None, rgb_profile(), b"\0" * 300_000], ids=["none", "small", "large"])
@pytest.mark.parametrize(
    "rgba", [RGBA, RGBA[:1, :1], RGBA[:, ::2], STRIPS], ids=["even", "one pixel", "strided", "strips"]
)
def test_pixels_and_profile_come_back_exactly(
    rgba: NDArray[np.uint8], profile: bytes | None, compression: Compression
) -> None:
    data = encode(rgba, profile, compression)
    image = Image.open(BytesIO(data))
    image.load()
    assert image.mode == "RGBA"
    assert np.array_equal(np.asarray(image), rgba)
    assert image.info.get("icc_profile") == profile


def test_the_profile_stands_between_header_and_pixels() -> None:
    kinds = [kind for kind, _ in chunks(encode(RGBA, rgb_profile()))]
    assert kinds[:2] == [b"IHDR", b"iCCP"]
    assert set(kinds[2:-1]) == {b"IDAT"}
    assert kinds[-1] == b"IEND"
    assert b"iCCP" not in [kind for kind, _ in chunks(encode(RGBA))]


def test_the_longest_side_there_is() -> None:
    row = np.zeros((1, 1_000_000, 4), np.uint8)
    row[0, -1] = (1, 2, 3, 4)
    assert Image.open(BytesIO(encode(row))).getpixel((999_999, 0)) == (1, 2, 3, 4)
