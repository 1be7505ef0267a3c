"""image_header: every format recognised by its bytes, everything else refused, nothing read without end."""

import random
import struct
import subprocess
import sys
from io import BytesIO

import pytest
from PIL import Image

from errors import PictureError
from image_header import ImageHeader, inspect
from tests.pictures import box, encode, heic, heif_header, png_chunk, ramp, rgb_profile, tiff

LIMIT = 1_000_000
SIZE = (70, 41)
PICTURE = ramp(*SIZE)


class CountingStream(BytesIO):
    """Knows how much was asked of it."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.reads = 0
        self.bytes_read = 0

    def read(self, size: int | None = -1, /) -> bytes:
        piece = super().read(size)
        self.reads += 1
        self.bytes_read += len(piece)
        return piece


def code_of(data: bytes, max_pixels: int = LIMIT) -> str:
    with pytest.raises(PictureError) as refusal:
        inspect(BytesIO(data), max_pixels)
    assert str(refusal.value).endswith(".")
    return refusal.value.code


def bmp_with_core_header() -> bytes:
    return b"BM" + struct.pack("<IIIIHHHH", 26, 0, 26, 12, *SIZE, 1, 24)


def big_tiff(order: str) -> bytes:
    sign = "<" if order == "II" else ">"
    head = order.encode() + struct.pack(f"{sign}HHHQ", 43, 8, 0, 16)
    width = struct.pack(f"{sign}HHQQ", 256, 16, 1, SIZE[0])
    height = struct.pack(f"{sign}HHQHxxxxxx", 257, 3, 1, SIZE[1])
    return head + struct.pack(f"{sign}Q", 2) + width + height + bytes(8)


def gif_with_wide_frame() -> bytes:
    """A canvas of nothing, a comment, and a first frame that hangs over the canvas."""
    comment = b"!\xfe\x05hello\0"
    return (
        b"GIF89a"
        + struct.pack("<HHBBB", 0, 0, 0x80, 0, 0)
        + bytes(6)
        + comment
        + b","
        + struct.pack("<HHHH", 10, 1, 60, 40)
    )


def jpeg_with_many_segments() -> bytes:
    """As phones write them: half a megabyte of previews and depth maps, padded markers, then the size."""
    plain = encode(PICTURE, "JPEG")
    segment = b"\xff\xff\xff\xe2" + struct.pack(">H", 65_000) + b"\xff\xc0" * 32_499
    return plain[:2] + segment * 9 + plain[2:]


FILES: dict[str, tuple[str, bytes]] = {
    "jpeg": ("jpeg", encode(PICTURE, "JPEG")),
    "progressive jpeg": ("jpeg", encode(PICTURE, "JPEG", progressive=True)),
    "cmyk jpeg": ("jpeg", encode(Image.new("CMYK", SIZE), "JPEG")),
    "jpeg with profile": ("jpeg", encode(PICTURE, "JPEG", icc_profile=rgb_profile() * 300)),
    "jpeg with its tables first": (
        "jpeg",
        encode(PICTURE, "JPEG")[:2] + b"\xff\xc4\0\x09abcdefg" + encode(PICTURE, "JPEG")[2:],
    ),
    "jpeg with many segments": ("jpeg", jpeg_with_many_segments()),
    "png": ("png", encode(PICTURE, "PNG")),
    "lossy webp": ("webp", encode(PICTURE, "WEBP")),
    "lossless webp": ("webp", encode(PICTURE, "WEBP", lossless=True)),
    "webp with alpha": ("webp", encode(Image.new("RGBA", SIZE, (1, 2, 3, 4)), "WEBP", lossless=False)),
    "webp with exif": ("webp", encode(PICTURE, "WEBP", exif=Image.Exif().tobytes() + b"\0")),
    "animated webp": (
        "webp",
        encode(PICTURE, "WEBP", save_all=True, append_images=[Image.new("RGB", SIZE)], duration=9),
    ),
    "bmp": ("bmp", encode(PICTURE, "BMP")),
    "bmp from the top": ("bmp", b"BM" + struct.pack("<IIIIiiHH", 26, 0, 54, 40, SIZE[0], -SIZE[1], 1, 24)),
    "bmp of os/2": ("bmp", bmp_with_core_header()),
    "tiff": ("tiff", encode(PICTURE, "TIFF")),
    "tiff by hand": ("tiff", tiff(PICTURE, 2)),
    "little big tiff": ("tiff", big_tiff("II")),
    "big big tiff": ("tiff", big_tiff("MM")),
    "gif": ("gif", encode(PICTURE, "GIF")),
    "gif with a wide frame": ("gif", gif_with_wide_frame()),
    "heic": ("heic", heic(PICTURE)),
    "heic of neutral brand": ("heic", heif_header(b"mif1", [(9, 9), SIZE], {2: [1], 1: [2]})),
    "avif": ("avif", encode(PICTURE, "AVIF")),
    "avif of neutral brand": (
        "avif",
        box(b"ftyp", b"mif1", bytes(4), b"avif") + heif_header(b"avif", [SIZE], {1: [1]})[20:],
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_format_and_size_come_from_the_bytes(name: str) -> None:
    kind, data = FILES[name]
    stream = CountingStream(data)
    assert inspect(stream, LIMIT) == ImageHeader(kind, *SIZE)  # type: ignore[arg-type]
    assert stream.bytes_read < 4_000


def test_of_a_heic_made_of_tiles_the_whole_counts() -> None:
    data = heic(ramp(600, 500), tile_size=256)
    assert inspect(BytesIO(data), LIMIT) == ImageHeader("heic", 600, 500)
    assert code_of(data, max_pixels=299_999) == "too_many_pixels"


def test_the_limit_counts_pixels_and_is_named() -> None:
    data = encode(PICTURE, "PNG")
    pixels = SIZE[0] * SIZE[1]
    assert inspect(BytesIO(data), pixels).width == SIZE[0]
    with pytest.raises(PictureError, match=r"12\.00 megapixels \(4000 × 3000\); at most 2\.5 megapixels"):
        inspect(BytesIO(b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", struct.pack(">II5x", 4000, 3000))), 2_500_000)
    assert code_of(data, pixels - 1) == "too_many_pixels"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(tiff(PICTURE, 2, {322: [60_000], 323: [60_000]}), id="tiff tile"),
        pytest.param(heif_header(b"heic", [SIZE, (60_000, 60_000)], {1: [1], 2: [2]}), id="heic tile"),
    ],
)
def test_a_small_picture_with_a_huge_piece_is_too_large(data: bytes) -> None:
    assert code_of(data) == "too_many_pixels"


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"%PDF-1.7\n", "PDF"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "EPS"),
        (b"\xc5\xd0\xd3\xc6" + bytes(30), "EPS"),
        (b"8BPS\0\1", "PSD"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"\xff\x4f\xff\x51\0", "JPEG 2000"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"\xff\x0a\xfa\x7f", "JPEG XL"),
        (b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>", "SVG"),
        (b"\xef\xbb\xbf <?xml version='1.0'?><!-- x --><SVG:svg/><svg/>", "SVG"),
        (b"FUJIFILMCCD-RAW 0201", "RAW"),
        (b"II*\0\x10\0\0\0CR\2\0" + bytes(9), "RAW"),
        (box(b"ftyp", b"crx ", bytes(4), b"isom"), "RAW"),
        (tiff(PICTURE, 2, {0xC612: [1]}), "RAW"),
        (tiff(PICTURE, 2, {254: [1], 330: [8]}), "RAW"),
        (box(b"ftyp", b"isom", bytes(4), b"avc1"), "video"),
        (b"\0\0\1\0\1\0\x10\x10", "ICO"),
        (b"\xff\xd8\xff\xc1" + struct.pack(">HBHHB", 11, 12, 9, 9, 1) + bytes(9), "12 bits"),
    ],
)
def test_other_kinds_of_picture_are_named(data: bytes, named: str) -> None:
    with pytest.raises(PictureError, match=named) as refusal:
        inspect(BytesIO(data), LIMIT)
    assert refusal.value.code == "unsupported_format"


@pytest.mark.parametrize(
    "data", [b"hello", b"<html><body>", b"PK\3\4" + bytes(40), b"BMW is a car maker", b"\0" * 99, b"\xff", b"ftyp"]
)
def test_what_is_no_picture(data: bytes) -> None:
    assert code_of(data) == "not_a_picture"


def test_an_empty_file() -> None:
    assert code_of(b"") == "empty_file"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\xff\xd8\xff\xc0" + struct.pack(">HBHHB", 11, 8, 0, 9, 1) + bytes(9), id="jpeg of no height"),
        pytest.param(b"\xff\xd8\xff\xda" + bytes(60), id="jpeg scan first"),
        pytest.param(b"\xff\xd8\xff\xe0\0\1" + bytes(60), id="jpeg segment of length 1"),
        pytest.param(b"\xff\xd8\xff\xd9", id="jpeg that ends at once"),
        pytest.param(b"\x89PNG\r\n\x1a\n" + png_chunk(b"IDAT", b"123456789abcd"), id="png without header"),
        pytest.param(b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", struct.pack(">II5x", 0, 9)), id="png of no width"),
        pytest.param(b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", struct.pack(">II5x", 2**31, 1)), id="png of 2³¹"),
        pytest.param(b"GIF89a\1\0\1\0\0\0\0;", id="gif without frame"),
        pytest.param(b"RIFF\0\0\0\0WEBPVP8 " + bytes(40), id="webp without start code"),
        pytest.param(b"RIFF\0\0\0\0WEBPALPH" + bytes(40), id="webp without picture"),
        pytest.param(b"BM" + struct.pack("<IIIIiiHH", 26, 0, 54, 40, -5, 5, 1, 24), id="bmp of negative width"),
        pytest.param(b"II*\0\xff\xff\xff\xff" + bytes(20), id="tiff directory beyond the end"),
        pytest.param(b"II*\0\x08\0\0\0\0\0" + bytes(20), id="tiff without size"),
        pytest.param(b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 2**63) + bytes(99), id="big tiff of 2⁶³ entries"),
        pytest.param(heif_header(b"heic", [SIZE], {2: [1]}), id="heic without size of the primary item"),
        pytest.param(heif_header(b"heic", [(0, 5)], {1: [1]}), id="heic of no width"),
        pytest.param(box(b"ftyp", b"heic", bytes(4)), id="heic without meta"),
        pytest.param(box(b"ftyp", b"heic", bytes(4)) + b"\0\0\0\4meta", id="heic box shorter than its head"),
        pytest.param(box(b"ftyp", b"avis", bytes(4)) + b"\0\0\0\1meta" + b"\xff" * 8, id="avif box of 2⁶⁴"),
    ],
)
def test_a_header_that_makes_no_sense(data: bytes) -> None:
    assert code_of(data) == "broken_header"


FLOODS = {
    "jpeg segments": b"\xff\xd8" + b"\xff\xe0\0\2" * 1_000_000,
    "jpeg fill bytes": b"\xff\xd8" + b"\xff" * 4_000_000,
    "jpeg restart markers": b"\xff\xd8\xff" + b"\xd0\xff" * 1_000_000,
    "jpeg junk": b"\xff\xd8\xff\xe0\0\2" + bytes(4_000_000),
    "gif comments": b"GIF89a\1\0\1\0\0\0\0" + b"!\xfe\1x\0" * 500_000,
    "gif blocks": b"GIF89a\1\0\1\0\0\0\0!\xfe" + b"\1x" * 1_000_000,
    "tiff entries": b"II*\0\x08\0\0\0\xff\xff" + bytes(65_535 * 12),
    "big tiff entries": b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 200_000) + bytes(4_000_000),
    "boxes": box(b"ftyp", b"heic", bytes(4)) + box(b"free") * 500_000,
    "properties": box(b"ftyp", b"heic", bytes(4))
    + box(b"meta", bytes(4), box(b"pitm", bytes(6)), box(b"iprp", box(b"ipco", box(b"free") * 500_000))),
    "associations": box(b"ftyp", b"heic", bytes(4))
    + box(b"meta", bytes(4), box(b"pitm", bytes(6)), box(b"iprp", box(b"ipco"), *[box(b"ipma", bytes(60_000))] * 100)),
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_header_without_end_is_given_up_soon(name: str) -> None:
    stream = CountingStream(FLOODS[name])
    with pytest.raises(PictureError) as refusal:
        inspect(stream, LIMIT)
    assert refusal.value.code == "broken_header"
    assert stream.bytes_read <= 600_000
    assert stream.reads <= 10_000


@pytest.mark.parametrize("name", FILES)
def test_a_cut_header_is_refused_and_never_crashes(name: str) -> None:
    data = FILES[name][1]
    for length in range(min(len(data), 700)):
        try:
            inspect(BytesIO(data[:length]), LIMIT)
        except PictureError as refusal:
            assert refusal.code in ("empty_file", "not_a_picture", "broken_header")  # noqa: PT017


@pytest.mark.parametrize("name", FILES)
def test_mutated_headers_end_in_a_header_or_a_refusal(name: str) -> None:
    original = FILES[name][1]
    chance = random.Random(name)
    for _ in range(400):
        data = bytearray(original)
        for _ in range(chance.choice((1, 2, 8))):
            start = chance.randrange(min(len(data), 600))
            data[start : start + chance.choice((0, 1, 4))] = chance.choice(
                (b"\0", b"\xff", b"\xff\xff\xff\xff", chance.randbytes(1), chance.randbytes(4))
            )
        stream = CountingStream(bytes(data))
        try:
            header = inspect(stream, LIMIT)
            assert 0 < header.width * header.height <= LIMIT
        except PictureError as refusal:
            assert str(refusal)  # noqa: PT017
        assert stream.bytes_read <= 600_000


def test_the_api_process_can_import_it_without_any_decoder() -> None:
    heavy = "{'PIL', 'cv2', 'numpy', 'pillow_heif', 'onnxruntime', 'rembg'}"
    program = f"import sys, image_header, operations.background_removal; print(sorted({heavy} & set(sys.modules)))"
    listed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert listed.strip() == "[]"
