"""operations.picture: every format and pixel mode becomes the same 8-bit RGB and alpha."""

import struct
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from operations.picture import Picture, cut_out, decode
from tests.pictures import Pixels, bmp_with_alpha, encode, heic, packed_rows, png, png_chunk, png_of, ramp, tiff

LIMIT = 1_000_000
RGB = ramp()
HEIGHT, WIDTH = RGB.shape[:2]
ALPHA = (np.add.outer(np.arange(HEIGHT), np.arange(WIDTH)) * 3 % 256).astype(np.uint8)
RGBA = np.dstack([RGB, ALPHA])
GREY = RGB[..., 2]
DEEP = (np.arange(HEIGHT * WIDTH, dtype=np.uint32) * 42 % 65536).astype(np.uint16).reshape(HEIGHT, WIDTH)


def grey_rgb(levels: NDArray[Any]) -> Pixels:
    return np.dstack([levels] * 3).astype(np.uint8)


def pixels(picture: Picture) -> Pixels:
    return picture.rgba[..., :3]


def scaled(values: NDArray[Any], top: float) -> Pixels:
    return np.rint(values.astype(np.float64) * 255 / top).astype(np.uint8)


EXACT_RGB: dict[str, Callable[[], bytes]] = {
    "png": lambda: encode(RGB, "PNG"),
    "lossless webp": lambda: encode(RGB, "WEBP", lossless=True),
    "bmp": lambda: encode(RGB, "BMP"),
    "tiff": lambda: encode(RGB, "TIFF"),
    "tiff with lzw": lambda: encode(RGB, "TIFF", compression="tiff_lzw"),
    "tiff with deflate": lambda: encode(RGB, "TIFF", compression="tiff_adobe_deflate"),
    "heic": lambda: heic(RGB),
    "interlaced 16-bit png": lambda: png_of(RGB.astype(np.uint16) * 257, 2),
    "16-bit tiff": lambda: tiff(RGB.astype(np.uint16) * 257, 2),
    "tiff with a padding channel": lambda: tiff(RGBA, 2, {338: [0]}),
}


@pytest.mark.parametrize("name", EXACT_RGB)
def test_lossless_colour_is_exact(name: str) -> None:
    picture = decode(EXACT_RGB[name](), LIMIT)
    assert np.array_equal(pixels(picture), RGB)
    assert picture.opaque


@pytest.mark.parametrize(
    ("data", "bound"),
    [
        (encode(RGB, "JPEG", quality=98, subsampling=0), 12),
        (encode(RGB, "JPEG", quality=98, subsampling=0, progressive=True), 12),
        (encode(RGB, "WEBP", quality=100, method=6), 60),
        (encode(RGB, "AVIF", quality=100, subsampling="4:4:4"), 12),
        (encode(RGB, "TIFF", compression="jpeg", quality=98), 60),
        (encode(Image.fromarray(RGB).convert("YCbCr"), "TIFF"), 4),
    ],
    ids=["jpeg", "progressive jpeg", "webp", "avif", "jpeg in tiff", "YCbCr in tiff"],
)
def test_lossy_colour_is_near(data: bytes, bound: int) -> None:
    difference = np.abs(pixels(decode(data, LIMIT)).astype(int) - RGB)
    assert difference.max() <= bound
    assert difference.mean() <= bound / 3


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(encode(GREY, "PNG"), GREY, id="png"),
        pytest.param(encode(GREY, "TIFF"), GREY, id="tiff"),
        pytest.param(encode(GREY, "BMP"), GREY, id="bmp"),
        pytest.param(encode(GREY, "GIF"), GREY, id="gif"),
        pytest.param(tiff(255 - GREY, 0), GREY, id="tiff, white is zero"),
        pytest.param(png(WIDTH, HEIGHT, 1, 0, packed_rows(GREY >> 7, 1)), (GREY >> 7) * 255, id="1-bit png"),
        pytest.param(png(WIDTH, HEIGHT, 2, 0, packed_rows(GREY >> 6, 2)), (GREY >> 6) * 85, id="2-bit png"),
        pytest.param(png(WIDTH, HEIGHT, 4, 0, packed_rows(GREY >> 4, 4)), (GREY >> 4) * 17, id="4-bit png"),
        pytest.param(encode(Image.fromarray(GREY >= 128), "TIFF"), (GREY >> 7) * 255, id="1-bit tiff"),
        pytest.param(encode(Image.fromarray(GREY >= 128), "BMP"), (GREY >> 7) * 255, id="1-bit bmp"),
        pytest.param(png_of(DEEP, 0), scaled(DEEP, 65535), id="16-bit png"),
        pytest.param(tiff(DEEP, 1), scaled(DEEP, 65535), id="16-bit tiff"),
        pytest.param(
            encode(Image.fromarray(DEEP), "TIFF", compression="tiff_lzw"), scaled(DEEP, 65535), id="16-bit lzw tiff"
        ),
        pytest.param(tiff(65535 - DEEP, 0), scaled(DEEP, 65535), id="16-bit tiff, white is zero"),
        pytest.param(tiff(DEEP.astype(np.uint32) << 16, 1), scaled(DEEP, 65536), id="32-bit tiff"),
        pytest.param(
            tiff(DEEP.astype(np.int32) - 9_000, 1), scaled(DEEP - DEEP.min(), float(np.ptp(DEEP))), id="signed tiff"
        ),
        pytest.param(tiff((GREY / 255).astype(np.float32), 1), GREY, id="float tiff"),
        pytest.param(tiff((1 - GREY / 255).astype(np.float32), 0), GREY, id="float tiff, white is zero"),
        pytest.param(tiff(GREY.astype(np.float32) * 9 - 4000, 1), scaled(GREY, GREY.max()), id="float tiff beyond 0…1"),
        pytest.param(
            tiff(np.array([[np.nan, 0, 0.5, 1]], np.float32), 1),
            np.array([[0, 0, 128, 255]]),
            id="float tiff with gaps",
        ),
    ],
)
def test_grey_of_every_depth(data: bytes, expected: NDArray[Any]) -> None:
    picture = decode(data, LIMIT)
    assert np.array_equal(pixels(picture), grey_rgb(expected))
    assert picture.opaque


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("progressive", [False, True], ids=["baseline", "progressive"])
def test_a_jpeg_is_decoded_as_pillow_does_it(subsampling: str, progressive: bool) -> None:
    data = encode(ramp(61, 43), "JPEG", subsampling=subsampling, progressive=progressive)
    for file in (data, data + b"more bytes behind its end", data[:2] + data[2:].replace(b"\xff\xda", b"\0\xff\xda", 1)):
        assert np.array_equal(pixels(decode(file, LIMIT)), np.asarray(Image.open(BytesIO(file))))


def test_12_bits_are_scaled_from_their_own_range() -> None:
    levels = DEEP >> 4
    pairs = levels.reshape(-1, 2).astype(np.uint32)
    packed = np.stack([pairs[:, 0] >> 4, (pairs[:, 0] & 15) << 4 | pairs[:, 1] >> 8, pairs[:, 1] & 255], 1)
    data = tiff(packed.astype(np.uint8).reshape(HEIGHT, -1), 1, {256: [WIDTH], 258: [12]})
    assert np.array_equal(pixels(decode(data, LIMIT)), grey_rgb(scaled(levels, 4095)))


def palette_png(transparency: bytes) -> bytes:
    chunks = png_chunk(b"PLTE", RGB[0, :4].tobytes()) + png_chunk(b"tRNS", transparency)
    return png(8, 1, 2, 3, packed_rows(np.array([[0, 1, 2, 3, 3, 2, 1, 0]], np.uint8), 2), chunks)


INDEXES = [0, 1, 2, 3, 3, 2, 1, 0]


@pytest.mark.parametrize(
    ("transparency", "alphas"),
    [(b"\0\x40\xff", [0, 64, 255, 255]), (b"\xff\0", [255, 0, 255, 255]), (b"\x80\x80\x80\x80", [128] * 4)],
)
def test_palette_with_transparency(transparency: bytes, alphas: list[int]) -> None:
    picture = decode(palette_png(transparency), LIMIT)
    assert np.array_equal(pixels(picture)[0], RGB[0][INDEXES])
    assert not picture.opaque
    assert picture.rgba[..., 3][0].tolist() == [alphas[index] for index in INDEXES]


def test_gif_with_transparency() -> None:
    image = Image.fromarray(RGB).quantize(16)
    picture = decode(encode(image, "GIF", transparency=3), LIMIT)
    assert np.array_equal(pixels(picture), np.asarray(image.convert("RGB")))
    assert not picture.opaque
    assert np.array_equal(picture.rgba[..., 3] == 0, np.asarray(image) == 3)


def test_palettes_without_transparency() -> None:
    image = Image.fromarray(RGB).quantize(200)
    for kind in ("PNG", "GIF", "TIFF", "BMP"):
        picture = decode(encode(image, kind), LIMIT)
        assert np.array_equal(pixels(picture), np.asarray(image.convert("RGB"))), kind
        assert picture.opaque, kind


def colour_key(*levels: int) -> bytes:
    return png_chunk(b"tRNS", struct.pack(f">{len(levels)}H", *levels))


@pytest.mark.parametrize(
    ("data", "transparent"),
    [
        (png_of(RGB, 2, colour_key(*map(int, RGB[3, 7]))), (RGB[3, 7] == RGB).all(axis=2)),
        (png_of(RGB.astype(np.uint16) * 256 + 7, 2, colour_key(*(int(v) * 256 + 7 for v in RGB[3, 7]))), None),
        (png_of(GREY, 0, colour_key(90)), GREY == 90),
        (png_of(DEEP, 0, colour_key(int(DEEP[3, 7]))), DEEP[3, 7] == DEEP),
        (png(WIDTH, HEIGHT, 1, 0, packed_rows(GREY >> 7, 1), colour_key(1)), GREY >= 128),
        (png(WIDTH, HEIGHT, 2, 0, packed_rows(GREY >> 6, 2), colour_key(2)), GREY >> 6 == 2),
        (png(WIDTH, HEIGHT, 4, 0, packed_rows(GREY >> 4, 4), colour_key(5)), GREY >> 4 == 5),
    ],
    ids=["rgb", "16-bit rgb", "grey", "16-bit grey", "1-bit grey", "2-bit grey", "4-bit grey"],
)
def test_one_transparent_colour(data: bytes, transparent: NDArray[np.bool_] | None) -> None:
    picture = decode(data, LIMIT)
    expected = (RGB[3, 7] == RGB).all(axis=2) if transparent is None else transparent
    assert not picture.opaque
    assert np.array_equal(picture.rgba[..., 3], np.where(expected, 0, 255))


@pytest.mark.parametrize(
    "data",
    [
        encode(RGBA, "PNG"),
        encode(RGBA, "WEBP", lossless=True, exact=True),
        encode(RGBA, "TIFF"),
        bmp_with_alpha(RGBA),
        heic(RGBA),
        png_of(RGBA.astype(np.uint16) * 257, 6),
        tiff(RGBA.astype(np.uint16) * 257, 2, {338: [2]}),
    ],
    ids=["png", "webp", "tiff", "bmp", "heic", "16-bit png", "16-bit tiff"],
)
def test_straight_alpha_is_exact(data: bytes) -> None:
    picture = decode(data, LIMIT)
    assert np.array_equal(pixels(picture), RGB)
    assert not picture.opaque
    assert np.array_equal(picture.rgba[..., 3], ALPHA)


def test_alpha_of_avif_is_near_and_its_colour_straight() -> None:
    picture = decode(encode(RGBA, "AVIF", quality=100, subsampling="4:4:4"), LIMIT)
    assert not picture.opaque
    assert np.abs(picture.rgba[..., 3].astype(int) - ALPHA).max() <= 1
    assert np.abs(pixels(picture).astype(int) - RGB)[ALPHA > 0].max() <= 12


@pytest.mark.parametrize(
    "data",
    [
        png_of(np.dstack([GREY, ALPHA]), 4),
        png_of(np.dstack([GREY, ALPHA]).astype(np.uint16) * 257, 4),
        tiff(np.dstack([GREY, ALPHA]), 1, {338: [2]}),
    ],
    ids=["png", "16-bit png", "tiff"],
)
def test_grey_with_alpha(data: bytes) -> None:
    picture = decode(data, LIMIT)
    assert np.array_equal(pixels(picture), grey_rgb(GREY))
    assert not picture.opaque
    assert np.array_equal(picture.rgba[..., 3], ALPHA)


@pytest.mark.parametrize("channels", [2, 4])
def test_premultiplied_alpha_is_divided_out(channels: int) -> None:
    straight = np.dstack([GREY, ALPHA]) if channels == 2 else RGBA
    colour = np.rint(straight[..., :-1] * (ALPHA[..., None] / 255))
    data = tiff(np.dstack([colour, ALPHA]).astype(np.uint8), 1 if channels == 2 else 2, {338: [1]})
    picture = decode(data, LIMIT)
    assert not picture.opaque
    assert np.array_equal(picture.rgba[..., 3], ALPHA)
    expected = grey_rgb(GREY) if channels == 2 else RGB
    # What 8 bits of premultiplied colour can still tell: half a level, and Pillow's truncation, over alpha.
    bound = 1.5 * 255 / np.maximum(ALPHA, 1)[..., None] + 1
    assert (np.abs(pixels(picture).astype(int) - expected)[ALPHA > 0] <= bound[ALPHA > 0]).all()


FRAMES = [Image.fromarray(np.roll(RGB, shift, axis=1)).quantize(64) for shift in (0, 9, 17)]


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("GIF", {"duration": 20}),
        ("WEBP", {"lossless": True, "duration": 20}),
        ("PNG", {"duration": 20}),
        ("TIFF", {}),
        ("AVIF", {"quality": 100, "subsampling": "4:4:4", "duration": 20}),
    ],
)
def test_of_several_frames_the_first_is_used_and_said(kind: str, options: dict[str, Any]) -> None:
    frames = [frame.convert("RGB") for frame in FRAMES]
    data = encode(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    picture = decode(data, LIMIT)
    difference = np.abs(pixels(picture).astype(int) - np.asarray(frames[0])).max()
    assert difference <= (12 if kind == "AVIF" else 0)
    assert picture.notes == {"source_format": kind.lower(), "frames": 3, "used_frame": 0}


def test_of_a_heic_with_several_pictures_the_primary_is_used() -> None:
    frames = [Image.fromarray(np.roll(RGB, shift, axis=1)) for shift in (0, 9, 17)]
    data = heic(frames[0], save_all=True, append_images=frames[1:], primary_index=1)
    picture = decode(data, LIMIT)
    assert np.array_equal(pixels(picture), np.asarray(frames[1]))
    assert picture.notes == {"source_format": "heic", "frames": 3, "used_frame": 1}


def test_previews_in_a_phones_jpeg_are_no_frames() -> None:
    data = encode(RGB, "MPO", save_all=True, append_images=[Image.new("RGB", (8, 8))])
    assert decode(data, LIMIT).notes == {"source_format": "jpeg"}


def test_an_apng_starts_with_its_default_picture() -> None:
    frames = [frame.convert("RGB") for frame in FRAMES]
    info = PngImagePlugin.PngInfo()
    data = encode(frames[0], "PNG", save_all=True, default_image=True, append_images=frames[1:], pnginfo=info)
    assert np.array_equal(pixels(decode(data, LIMIT)), np.asarray(frames[0]))


def test_a_cutout_keeps_straight_colour_and_the_weaker_alpha() -> None:
    mask = np.flipud(ALPHA)
    picture = decode(encode(RGBA, "PNG"), LIMIT)
    (cutout,) = cut_out(picture, [mask])
    assert np.array_equal(cutout[..., 3], np.minimum(mask, ALPHA))
    visible = cutout[..., 3] > 0
    assert np.array_equal(cutout[visible][:, :3], RGB[visible])
    assert not cutout[~visible].any()
    assert visible.any()
    assert not visible.all()


def test_several_masks_give_a_cutout_each() -> None:
    picture = decode(encode(RGB, "PNG"), LIMIT)
    masks = [np.full((HEIGHT, WIDTH), level, np.uint8) for level in (255, 0, 90)]
    whole, nothing, faint = cut_out(picture, masks)
    assert np.array_equal(whole, np.dstack([RGB, masks[0]]))
    assert not nothing.any()
    assert np.array_equal(faint, np.dstack([RGB, masks[2]]))
