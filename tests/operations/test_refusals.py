"""What decode refuses, and that every way a decoder can fail ends in PictureError."""

import random
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from errors import PictureError
from operations.picture import decode
from tests.pictures import encode, heic, heif_header, packed_rows, png, png_chunk, ramp, tiff

LIMIT = 1_000_000
RGB = ramp(160, 120)

FILES = {
    "jpeg": encode(RGB, "JPEG"),
    "progressive jpeg": encode(RGB, "JPEG", progressive=True),
    "png": encode(RGB, "PNG"),
    "webp": encode(RGB, "WEBP"),
    "bmp": encode(RGB, "BMP"),
    "tiff": encode(RGB, "TIFF"),
    "tiff with lzw": encode(RGB, "TIFF", compression="tiff_lzw"),
    "gif": encode(RGB, "GIF"),
    "heic": heic(RGB),
    "avif": encode(RGB, "AVIF"),
}


def refusal(data: bytes, max_pixels: int = LIMIT) -> PictureError:
    with pytest.raises(PictureError) as refused:
        decode(data, max_pixels)
    return refused.value


@pytest.mark.parametrize("name", FILES)
def test_a_picture_that_ends_too_early_is_refused(name: str) -> None:
    data = FILES[name]
    assert decode(data, LIMIT).rgba.shape == (120, 160, 4)
    for part in (0.2, 0.5, 0.9):
        assert refusal(data[: int(len(data) * part)]).code in ("broken_picture", "broken_header")


def test_the_refusal_of_a_broken_picture_says_what_to_do() -> None:
    broken = refusal(FILES["jpeg"][:2000])
    assert broken.code == "broken_picture"
    assert str(broken).startswith("The JPEG file cannot be decoded")
    assert "save it as PNG or JPEG" in str(broken)


@pytest.mark.parametrize("name", FILES)
def test_damage_anywhere_ends_in_a_picture_or_a_refusal(name: str) -> None:
    chance = random.Random(name)
    for _ in range(60):
        data = bytearray(FILES[name])
        for _ in range(chance.choice((1, 3, 20))):
            data[chance.randrange(len(data))] = chance.randrange(256)
        try:
            picture = decode(bytes(data), LIMIT)
            assert picture.rgba[..., 0].size <= LIMIT
        except PictureError as refused:
            assert str(refused).endswith(".")  # noqa: PT017


@pytest.mark.parametrize("name", FILES)
def test_more_pixels_than_allowed_are_refused_before_they_are_unpacked(name: str) -> None:
    assert refusal(FILES[name], max_pixels=160 * 120 - 1).code == "too_many_pixels"
    assert decode(FILES[name], max_pixels=160 * 120).rgba.shape == (120, 160, 4)


def test_a_small_file_that_unpacks_to_a_huge_picture() -> None:
    rows = zlib.compress(bytes(1 + 12_500) * 1000)
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 1, 0, 0, 0, 0)
    chunks = (png_chunk(b"IHDR", header), png_chunk(b"IDAT", rows), png_chunk(b"IEND", b""))
    assert refusal(b"\x89PNG\r\n\x1a\n" + b"".join(chunks), 50_000_000).code == "too_many_pixels"


@pytest.mark.parametrize("height", [1_200, 30_000])
def test_a_decoder_that_finds_more_pixels_than_the_header_said(height: int) -> None:
    """The second size in a JPEG is the one that Pillow believes; the header check reads the first."""
    data = encode(RGB, "JPEG")
    at = data.index(b"\xff\xc0")
    length = int.from_bytes(data[at + 2 : at + 4], "big")
    frame = data[at : at + 2 + length]
    larger = frame[:5] + struct.pack(">HH", height, 1_000) + frame[9:]
    assert refusal(data[:at] + frame + larger + data[at + 2 + length :]).code == "too_many_pixels"


def test_metadata_that_unpacks_without_end_is_refused() -> None:
    bomb = png_chunk(b"zTXt", b"comment\0\0" + zlib.compress(bytes(200_000_000), 9))
    data = encode(RGB, "PNG")
    assert refusal(data[:33] + bomb + data[33:]).code == "broken_picture"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty_file"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "unsupported_format"),
        (b"%PDF-1.7", "unsupported_format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "unsupported_format"),
        (b"P6 1 1 255 abc", "not_a_picture"),
        (heif_header(b"heic", [(9, 9)], {1: [1]}), "broken_picture"),
        (tiff(np.zeros((4, 4, 3), np.float32), 2), "broken_picture"),
        (png(4, 4, 5, 0, packed_rows(np.zeros((4, 8), np.uint8), 4)), "broken_picture"),
    ],
    ids=["nothing", "svg", "pdf", "eps", "ppm", "heic without pixels", "float rgb tiff", "5-bit png"],
)
def test_what_is_no_picture_for_this_service(data: bytes, code: str) -> None:
    assert refusal(data).code == code


def test_formats_that_pillow_knows_but_the_service_does_not_never_reach_their_decoder() -> None:
    for kind in ("PPM", "TGA", "PCX", "ICO", "JPEG2000", "DDS", "SGI", "EPS"):
        assert refusal(encode(Image.fromarray(RGB), kind)).code in ("unsupported_format", "not_a_picture")


def test_lack_of_memory_is_not_the_pictures_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Image.Image, "getexif", exhausted)
    with pytest.raises(MemoryError):
        decode(FILES["png"], LIMIT)


def test_the_limit_and_the_warnings_of_other_code_stay_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 12_345)
    filters = list(warnings.filters)
    decode(FILES["png"], LIMIT)
    refusal(FILES["png"], 9)
    assert Image.MAX_IMAGE_PIXELS == 12_345
    assert list(warnings.filters) == filters
