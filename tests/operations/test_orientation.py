"""All eight EXIF orientations, in every format that can carry one, end upright; nothing is turned twice."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import ExifTags, Image

from operations.picture import decode
from tests.pictures import Pixels, encode, heic, png_chunk, ramp

UPRIGHT = ramp(48, 32)

# How a camera stores an upright picture under each orientation: the inverse of what a viewer has to do.
STORED: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda pixels: pixels,
    2: np.fliplr,
    3: lambda pixels: np.rot90(pixels, 2),
    4: np.flipud,
    5: lambda pixels: np.swapaxes(pixels, 0, 1),
    6: lambda pixels: np.rot90(pixels, 1),
    7: lambda pixels: np.rot90(np.swapaxes(pixels, 0, 1), 2),
    8: lambda pixels: np.rot90(pixels, -1),
}


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[ExifTags.Base.Orientation] = orientation
    return tags


def stored(orientation: int) -> Pixels:
    return np.ascontiguousarray(STORED[orientation](UPRIGHT))


def deviation(data: bytes, expected: Pixels = UPRIGHT) -> int:
    rgb = decode(data, 1_000_000).rgba[..., :3]
    assert rgb.shape == expected.shape
    return int(np.abs(rgb.astype(int) - expected).max())


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize(
    ("kind", "options", "bound"),
    [
        ("JPEG", {"quality": 98, "subsampling": 0}, 12),
        ("PNG", {}, 0),
        ("WEBP", {"lossless": True}, 0),
        ("TIFF", {}, 0),
        ("TIFF", {"compression": "tiff_lzw"}, 0),
        ("AVIF", {"quality": 100, "subsampling": "4:4:4"}, 16),
    ],
    ids=["jpeg", "png", "webp", "tiff", "tiff with lzw", "avif"],
)
def test_exif_orientation_is_applied(kind: str, options: dict[str, object], bound: int, orientation: int) -> None:
    assert deviation(encode(stored(orientation), kind, exif=exif(orientation), **options)) <= bound


@pytest.mark.parametrize("orientation", STORED)
def test_a_heic_that_says_it_twice_is_turned_once(orientation: int) -> None:
    """Phones write EXIF and the format's own rotation; only the latter counts."""
    data = heic(stored(orientation), exif=exif(orientation).tobytes())
    assert (b"irot" in data or b"imir" in data) == (orientation != 1)
    assert deviation(data) == 0


def test_exif_alone_does_not_turn_a_heic() -> None:
    """So the standard wants it, and so phones and browsers show it."""
    data = heic(stored(1), exif=exif(6))
    assert b"irot" not in data
    assert deviation(data) == 0


@pytest.mark.parametrize("orientation", STORED)
def test_alpha_and_deep_grey_are_turned_too(orientation: int) -> None:
    levels = stored(orientation)[..., 2]
    deep = encode(Image.fromarray(levels.astype(np.uint16) * 257), "PNG", exif=exif(orientation))
    assert deviation(deep, np.dstack([UPRIGHT[..., 2]] * 3)) == 0
    with_alpha = decode(encode(np.dstack([stored(orientation), levels]), "PNG", exif=exif(orientation)), 1_000_000)
    assert np.array_equal(with_alpha.rgba[..., :3], UPRIGHT)
    assert not with_alpha.opaque
    assert np.array_equal(with_alpha.rgba[..., 3], UPRIGHT[..., 2])


def test_several_pages_do_not_confuse_the_first() -> None:
    pages = [Image.fromarray(stored(6)), Image.fromarray(stored(1))]
    data = encode(pages[0], "TIFF", save_all=True, append_images=pages[1:], exif=exif(6))
    assert deviation(data) == 0


@pytest.mark.parametrize("value", [0, 9, 65_535])
def test_an_orientation_that_does_not_exist_is_ignored(value: int) -> None:
    assert deviation(encode(UPRIGHT, "PNG", exif=exif(value))) == 0


def test_a_damaged_exif_block_costs_nothing_but_a_note() -> None:
    plain = encode(UPRIGHT, "PNG")
    damaged = plain[:33] + png_chunk(b"eXIf", b"not a TIFF directory") + plain[33:]
    picture = decode(damaged, 1_000_000)
    assert np.array_equal(picture.rgba[..., :3], UPRIGHT)
    assert "upright" in str(picture.notes["exif"])
