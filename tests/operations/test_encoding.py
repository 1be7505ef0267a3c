"""Options that say what kind of file comes back: read by Pillow, from real photos and a real model."""

from io import BytesIO
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image, features

from errors import PictureError
from models.sessions import Session
from operations import encoding
from operations.base import Result
from operations.params import Params
from tests.cutouts import ASTRONAUT, CAT, cut, largest_difference, opened, over, rgba
from tests.pictures import Pixels, encode, ramp, rgb_profile

PHOTO = CAT.read_bytes()
KINDS = {
    "png": ("PNG", "image/png"),
    "webp": ("WEBP", "image/webp"),
    "jpg": ("JPEG", "image/jpeg"),
    "avif": ("AVIF", "image/avif"),
}


@pytest.fixture(scope="module")
def plain(session: Session) -> Pixels:
    return rgba(cut(PHOTO, session))


def mean_difference(image: Image.Image, wanted: Pixels) -> float:
    return float(np.abs(np.asarray(image).astype(int) - wanted).mean())


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_holds_the_cutout(session: Session, plain: Pixels, kind: str) -> None:
    result = cut(PHOTO, session, format=kind)
    image = opened(result)
    assert (image.format, result.content_type) == KINDS[kind]
    assert result.extension == kind
    if kind == "jpg":
        white = over(plain, np.full_like(plain, 255))
        assert mean_difference(image, white[..., :3]) < 2.5
        return
    assert image.mode == "RGBA"
    assert mean_difference(image.getchannel("A"), plain[..., 3]) < 0.5
    solid = plain[..., 3] == 255
    assert np.abs(np.asarray(image)[solid].astype(int) - plain[solid]).mean() < 4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("colour", [None, "white"])
def test_the_profile_comes_along_in_every_format(session: Session, kind: str, colour: str | None) -> None:
    photo = encode(Image.open(CAT), "JPEG", icc_profile=rgb_profile())
    image = opened(cut(photo, session, format=kind, background_color=colour))
    assert image.info["icc_profile"] == rgb_profile()
    assert not image.getexif()


def test_auto_is_jpeg_when_nothing_is_transparent(session: Session) -> None:
    assert cut(PHOTO, session).extension == "png"
    assert cut(PHOTO, session, background_color="ffffff80").extension == "png"
    result = cut(PHOTO, session, background_color="white")
    assert (result.extension, opened(result).mode) == ("jpg", "RGB")


def test_without_a_background_auto_is_png_even_when_nothing_is_transparent() -> None:
    opaque = np.full((8, 8, 4), 255, np.uint8)
    plain, white = Params(model="u2netp"), Params(model="u2netp", background_color="white")
    assert encoding.encode([opaque], [], None, plain).extension == "png"
    assert encoding.encode([opaque], [], None, white).extension == "jpg"


@pytest.mark.parametrize("kind", ["jpg", "webp", "avif"])
def test_quality_is_worth_bytes(session: Session, kind: str) -> None:
    sizes = [len(cut(PHOTO, session, format=kind, quality=quality).data) for quality in (20, 60, 95)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[2] / 2


def test_webp_of_quality_100_loses_nothing(session: Session, plain: Pixels) -> None:
    assert np.array_equal(np.asarray(opened(cut(PHOTO, session, format="webp", quality=100))), plain)


@pytest.mark.parametrize(
    ("options", "limit"),
    [
        ({"format": "webp"}, "16,383"),
        ({"format": "webp", "output": "mask"}, "16,383"),
        ({"format": "avif"}, "32,768"),
        ({"format": "jpg"}, "65,500"),
    ],
)
def test_what_a_format_cannot_hold_is_refused(session: Session, options: dict[str, Any], limit: str) -> None:
    long = encode(np.zeros((1, 70_000, 3), np.uint8), "PNG")
    with pytest.raises(PictureError, match=f"can hold {limit} pixels a side") as raised:
        cut(long, session, **options)
    assert raised.value.code == "too_large_for_format"


def test_auto_finds_a_format_that_can_hold_it(session: Session) -> None:
    long = encode(np.zeros((1, 70_000, 3), np.uint8), "PNG")
    assert cut(long, session, background_color="red").extension == "png"


# --- masks --------------------------------------------------------------------------------------------------------


def test_a_mask_is_rembgs_as_grey_png(session: Session, rembg_session: object) -> None:
    import rembg

    for path in (CAT, ASTRONAUT):
        result = cut(path.read_bytes(), session, output="mask")
        mask = opened(result)
        assert (mask.format, mask.mode) == ("PNG", "L")
        theirs = rembg.remove(Image.open(path), session=rembg_session, only_mask=True)
        assert largest_difference(np.asarray(mask), np.asarray(theirs)) <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_mask_comes_in_every_format(session: Session, plain: Pixels, kind: str) -> None:
    image = opened(cut(PHOTO, session, output="mask", format=kind))
    assert image.format == KINDS[kind][0]
    assert mean_difference(image.convert("L"), plain[..., 3]) < 1.5


def test_a_mask_has_the_frame_of_its_cutout_and_nothing_of_its_background(session: Session) -> None:
    framing: dict[str, Any] = {"crop": True, "crop_margin": "10%", "scale": 50, "position": "0%", "shadow": True}
    mask = opened(cut(PHOTO, session, output="mask", background_color="red", **framing))
    framing["shadow_opacity"] = 0
    cutout = rgba(cut(PHOTO, session, **framing))
    assert np.array_equal(np.asarray(mask), cutout[..., 3])


def test_a_mask_lies_over_the_cutout_of_the_same_request(session: Session) -> None:
    """With room for a shadow that it does not show; a background that nobody sees is not even opened."""
    options: dict[str, Any] = {"crop": True, "shadow": True, "shadow_offset": "40px 25px", "decontaminate": True}
    mask = cut(PHOTO, session, output="mask", behind=b"GIF", **options)
    both = cut(PHOTO, session, output="both", **options)
    with ZipFile(BytesIO(both.data)) as packed:
        assert packed.read("mask.png") == mask.data
    assert mask.notes == both.notes


# --- both ---------------------------------------------------------------------------------------------------------


def members(result: Result) -> dict[str, Image.Image]:
    assert (result.content_type, result.extension) == ("application/zip", "zip")
    with ZipFile(BytesIO(result.data)) as archive:
        assert archive.testzip() is None
        images: dict[str, Image.Image] = {name: Image.open(BytesIO(archive.read(name))) for name in archive.namelist()}
    for image in images.values():
        assert image.size == (result.width, result.height)
    return images


def test_both_are_in_a_zip(session: Session, plain: Pixels) -> None:
    images = members(cut(PHOTO, session, output="both"))
    assert list(images) == ["cutout.png", "mask.png"]
    assert np.array_equal(np.asarray(images["cutout.png"]), plain)
    assert (images["mask.png"].mode, np.array_equal(np.asarray(images["mask.png"]), plain[..., 3])) == ("L", True)


def test_in_a_zip_the_cutout_has_its_format_and_the_mask_is_png(session: Session) -> None:
    asked: dict[str, dict[str, Any]] = {"webp": {"format": "webp"}, "jpg": {"background_color": "white"}}
    for cutout, options in asked.items():
        images = members(cut(PHOTO, session, output="both", crop=True, **options))
        assert list(images) == [f"cutout.{cutout}", "mask.png"]
        assert np.asarray(images["mask.png"]).max() == 255


def test_the_same_work_gives_the_same_zip(session: Session) -> None:
    assert cut(PHOTO, session, output="both").data == cut(PHOTO, session, output="both").data


def test_layers_make_the_cutout_again(session: Session, plain: Pixels) -> None:
    """As remove.bg's clients put them together."""
    images = members(cut(PHOTO, session, output="layers", quality=95))
    assert [(name, image.format, image.mode) for name, image in images.items()] == [
        ("color.jpg", "JPEG", "RGB"),
        ("alpha.png", "PNG", "L"),
    ]
    assert np.array_equal(np.asarray(images["alpha.png"]), plain[..., 3])
    # The faintest would be 1.9 levels off on average if the colours ended where nothing can be seen.
    for low, high, most in ((1, 30, 1.5), (31, 254, 2.0), (255, 255, 3.0)):
        seen = (plain[..., 3] >= low) & (plain[..., 3] <= high)
        difference = np.abs(np.asarray(images["color.jpg"]).astype(int) - plain[..., :3])[seen]
        assert difference.mean() < most


def test_this_machine_can_write_avif() -> None:
    """The wheels of Pillow bring it."""
    assert features.check("avif")
    assert encode(ramp(), "AVIF")
