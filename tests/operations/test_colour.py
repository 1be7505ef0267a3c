"""operations.colour through decode: RGB profiles stay, everything else is converted to sRGB."""

from io import BytesIO
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from operations.picture import Picture, decode
from tests.pictures import cmyk_profile, encode, grey_profile, heic, png_of, ramp, rgb_profile, tiff

LIMIT = 1_000_000
RGB = ramp()
GREY = RGB[..., 2]
PROFILE = rgb_profile()

# Printing inks as no plain formula has them: a dull blue, a brick red, an ochre.
LAB_OF_INK = {
    (inks[0], inks[1], inks[2], inks[3]): (
        round(100 * 0.55 ** inks[0] * 0.5 ** inks[1] * 0.85 ** inks[2] * 0.1 ** inks[3]),
        -20 * inks[0] + 60 * inks[1] - 5 * inks[2] if not inks[3] else 0,
        -40 * inks[0] + 10 * inks[1] + 60 * inks[2] if not inks[3] else 0,
    )
    for inks in product((0, 1), repeat=4)
}
CMYK_PROFILE = cmyk_profile(LAB_OF_INK)


def pixels(picture: Picture) -> NDArray[np.int_]:
    return picture.rgba[..., :3].astype(int)


def srgb_of_lab(lightness: float, a: float, b: float) -> list[int]:
    """CIE Lab with ICC's white D50 to sRGB, by the textbook."""
    y = (lightness + 16) / 116
    xyz = np.array([0.9642, 1.0, 0.8249]) * [
        t**3 if t > 6 / 29 else 3 * (6 / 29) ** 2 * (t - 4 / 29) for t in (y + a / 500, y, y - b / 200)
    ]
    from_d50 = [
        [3.1338561, -1.6168667, -0.4906146],
        [-0.9787684, 1.9161415, 0.0334540],
        [0.0719453, -0.2289914, 1.4052427],
    ]
    linear = np.clip(np.array(from_d50) @ xyz, 0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return [round(value * 255) for value in encoded]


@pytest.mark.parametrize(
    "data",
    [
        encode(RGB, "JPEG", icc_profile=PROFILE),
        encode(RGB, "PNG", icc_profile=PROFILE),
        encode(RGB, "WEBP", icc_profile=PROFILE),
        encode(RGB, "TIFF", icc_profile=PROFILE),
        encode(RGB, "AVIF", icc_profile=PROFILE),
        heic(RGB, icc_profile=PROFILE),
        encode(Image.fromarray(RGB).quantize(99), "PNG", icc_profile=PROFILE),
        encode(GREY, "JPEG", icc_profile=PROFILE),
    ],
    ids=["jpeg", "png", "webp", "tiff", "avif", "heic", "palette", "grey pixels"],
)
def test_an_rgb_profile_is_kept_as_it_is(data: bytes) -> None:
    assert decode(data, LIMIT).icc_profile == PROFILE


def test_pixels_with_an_rgb_profile_stay_as_they_are() -> None:
    assert np.array_equal(pixels(decode(encode(RGB, "PNG", icc_profile=PROFILE), LIMIT)), RGB)


@pytest.mark.parametrize("gamma", [1.0, 1.8])
@pytest.mark.parametrize("form", ["grey", "grey with alpha", "16-bit grey", "16-bit grey with alpha", "tiff"])
def test_grey_goes_through_its_profile_to_srgb(form: str, gamma: float) -> None:
    profile = grey_profile(gamma)
    alpha = np.full_like(GREY, 200)
    data = {
        "grey": lambda: encode(GREY, "PNG", icc_profile=profile),
        "grey with alpha": lambda: encode(np.dstack([GREY, alpha]), "PNG", icc_profile=profile),
        "16-bit grey": lambda: encode(Image.fromarray(GREY.astype(np.uint16) * 257), "PNG", icc_profile=profile),
        "16-bit grey with alpha": lambda: with_profile(
            png_of(np.dstack([GREY, alpha]).astype(np.uint16) * 257, 4), profile
        ),
        "tiff": lambda: encode(GREY, "TIFF", icc_profile=profile),
    }[form]()
    picture = decode(data, LIMIT)
    linear = (GREY / 255) ** gamma
    expected = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055) * 255
    assert np.abs(pixels(picture) - expected[..., None]).max() <= 1.5
    assert np.abs(expected - GREY).max() > 15
    assert picture.icc_profile is None
    assert picture.opaque != ("alpha" in form)


def with_profile(png: bytes, profile: bytes) -> bytes:
    """The iCCP chunk of a PNG that Pillow writes, put into another PNG."""
    donor = encode(np.zeros((1, 1), np.uint8), "PNG", icc_profile=profile)
    start = donor.index(b"iCCP") - 4
    end = start + 12 + int.from_bytes(donor[start : start + 4], "big")
    return png[:33] + donor[start:end] + png[33:]


INKS = np.array(list(LAB_OF_INK), np.uint8)[None] * 255


def test_cmyk_goes_through_its_profile_to_srgb() -> None:
    picture = decode(encode(Image.fromarray(INKS, "CMYK"), "TIFF", icc_profile=CMYK_PROFILE), LIMIT)
    expected = np.array([srgb_of_lab(*lab) for lab in LAB_OF_INK.values()])
    assert np.abs(pixels(picture)[0] - expected).max() <= 4
    assert picture.icc_profile is None


def test_the_inks_of_the_test_differ_from_the_plain_formula() -> None:
    picture = decode(encode(Image.fromarray(INKS, "CMYK"), "TIFF"), LIMIT)
    expected = np.array([srgb_of_lab(*lab) for lab in LAB_OF_INK.values()])
    assert np.abs(pixels(picture)[0] - expected).max() > 60


@pytest.mark.parametrize("profile", [None, CMYK_PROFILE], ids=["plain", "with profile"])
def test_an_adobe_jpeg_stores_its_inks_inverted(profile: bytes | None) -> None:
    flat = np.repeat(np.repeat(INKS, 16, axis=1), 16, axis=0)
    options = {} if profile is None else {"icc_profile": profile}
    data = encode(Image.fromarray(flat, "CMYK"), "JPEG", quality=100, subsampling=0, **options)
    assert b"Adobe" in data
    exact = decode(encode(Image.fromarray(flat, "CMYK"), "TIFF", **options), LIMIT)
    assert np.abs(pixels(decode(data, LIMIT)) - pixels(exact)).max() <= 6


def test_cmyk_without_profile_is_ink_over_paper() -> None:
    inks = np.array([[[0, 0, 0, 0], [255, 0, 0, 0], [0, 255, 0, 0], [0, 0, 255, 0], [0, 0, 0, 255], [0, 0, 0, 128]]])
    picture = decode(tiff(inks.astype(np.uint8), 5), LIMIT)
    paper, black, grey = [255] * 3, [0] * 3, [127] * 3
    assert pixels(picture)[0].tolist() == [paper, [0, 255, 255], [255, 0, 255], [255, 255, 0], black, grey]


def test_lab_becomes_srgb() -> None:
    lab = [(100, 0, 0), (0, 0, 0), (50, 0, 0), (60, 40, 30), (40, -30, 10), (70, 10, -40)]
    stored = np.array([[(round(lightness * 2.55), a % 256, b % 256) for lightness, a, b in lab]], np.uint8)
    picture = decode(tiff(stored, 8), LIMIT)
    assert np.abs(pixels(picture)[0] - [srgb_of_lab(*colour) for colour in lab]).max() <= 3
    assert picture.icc_profile is None


@pytest.mark.parametrize(
    "profile",
    [grey_profile(1.0), CMYK_PROFILE, PROFILE[:-9], PROFILE[:90], b"nonsense" * 40],
    ids=["of grey", "of CMYK", "cut", "only half a header", "no profile"],
)
def test_a_profile_that_cannot_describe_the_pixels_is_left_out(profile: bytes) -> None:
    picture = decode(encode(RGB, "PNG", icc_profile=profile), LIMIT)
    assert picture.icc_profile is None
    assert np.array_equal(pixels(picture), RGB)


def test_a_damaged_grey_or_cmyk_profile_leaves_the_plain_conversion() -> None:
    grey = grey_profile(1.0)
    hollow = grey[:128] + bytes(len(grey) - 128)
    assert np.array_equal(pixels(decode(encode(GREY, "PNG", icc_profile=hollow), LIMIT))[..., 0], GREY)
    inks = CMYK_PROFILE[:128] + bytes(len(CMYK_PROFILE) - 128)
    with_hollow = decode(encode(Image.fromarray(INKS, "CMYK"), "TIFF", icc_profile=inks), LIMIT)
    plain = decode(encode(Image.fromarray(INKS, "CMYK"), "TIFF"), LIMIT)
    assert np.array_equal(pixels(with_hollow), pixels(plain))


def test_the_profiles_made_for_these_tests_are_real() -> None:
    for profile, space in ((CMYK_PROFILE, "CMYK"), (grey_profile(1.8), "GRAY"), (PROFILE, "RGB ")):
        opened = ImageCms.getOpenProfile(BytesIO(profile))
        assert opened.profile.xcolor_space == space
