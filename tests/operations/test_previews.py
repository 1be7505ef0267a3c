"""Previews: small, true in shape and colour, and quick to look at for whoever cannot see what they are made of."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.sessions import Session
from operations import previews
from operations.base import Result
from operations.params import Params
from operations.picture import Picture
from tests.cutouts import ASTRONAUT, COFFEE, cut, largest_difference, opened
from tests.operations.test_background_removal import ThreeMasks
from tests.pictures import Pixels, encode, ramp, rgb_profile

PARAMS = Params(model="u2netp")
GREEN, WHITE = np.array([30, 200, 40], np.uint8), np.array([255, 255, 255], np.uint8)


def seen(data: bytes, kind: str) -> Image.Image:
    image = Image.open(BytesIO(data))
    image.load()
    assert image.format == kind
    return image


def of_both(result: Result) -> tuple[Image.Image, Image.Image]:
    return seen(result.previews["input"], "JPEG"), seen(result.previews["result"], "PNG")


def disc(side: int, colour: Pixels) -> Pixels:
    """As a cutout is: soft at its edge, and all zero around it."""
    y, x = np.mgrid[:side, :side] - side / 2
    alpha = np.clip(side / 3 - np.hypot(x, y), 0, 1) * 255
    made = np.dstack([np.full((side, side, 3), colour), alpha]).astype(np.uint8)
    made[alpha == 0] = 0
    return made


@pytest.mark.parametrize("path", [ASTRONAUT, COFFEE], ids=lambda path: path.stem)
def test_they_look_like_what_they_are_of(session: Session, path: Path) -> None:
    data = path.read_bytes()
    result = cut(data, session)
    source, made = of_both(result)
    photo, cutout = Image.open(BytesIO(data)), opened(result)
    shrink = max(photo.size) / 320
    assert source.size == made.size == (round(photo.width / shrink), round(photo.height / shrink))
    for preview, whole in ((source, photo), (made.convert("RGBa"), cutout.convert("RGBa"))):
        wanted = whole.resize(preview.size, Image.Resampling.BOX)
        assert np.abs(np.asarray(preview, float) - np.asarray(wanted, float)).mean() < 5


def test_what_is_small_keeps_its_size(session: Session) -> None:
    source, made = of_both(cut(encode(ramp(60, 40), "PNG"), session))
    assert source.size == made.size == (60, 40)


@pytest.mark.parametrize(
    ("width", "height", "size"), [(40_000, 20, (320, 1)), (3, 4000, (1, 320)), (321, 320, (320, 319))]
)
def test_every_shape_fits(width: int, height: int, size: tuple[int, int]) -> None:
    pixels = np.full((height, width, 4), 255, np.uint8)
    assert seen(previews.of_input(Picture(pixels)), "JPEG").size == size
    assert seen(previews.of_result([pixels], [], None, PARAMS), "PNG").size == size


@pytest.mark.parametrize("side", [400, 700, 2500])
def test_no_edge_is_darkened_by_what_cannot_be_seen(side: int) -> None:
    made = np.asarray(seen(previews.of_result([disc(side, GREEN)], [], None, PARAMS), "PNG"))
    visible = made[made[..., 3] > 32]
    assert len(visible) > 1000
    assert largest_difference(visible[:, :3], np.broadcast_to(GREEN, (len(visible), 3))) <= 8
    assert not made[made[..., 3] == 0].any()
    assert ((made[..., 3] > 0) & (made[..., 3] < 255)).any(), "it is soft"


def test_a_transparent_picture_is_shown_before_white() -> None:
    made = np.asarray(seen(previews.of_input(Picture(disc(700, GREEN), opaque=False)), "JPEG"))
    assert largest_difference(made[0, 0], WHITE) <= 2
    assert largest_difference(made[160, 160], GREEN) <= 4


def test_of_a_result_without_transparency_there_is_none() -> None:
    given = PARAMS.model_copy(update={"format": "jpg"})
    made = np.asarray(seen(previews.of_result([disc(700, GREEN)], [], None, given), "PNG"))
    assert made[..., 3].min() == 255
    assert np.array_equal(made[0, 0, :3], WHITE)


def test_of_a_mask_there_is_a_small_mask(session: Session) -> None:
    _, made = of_both(cut(COFFEE.read_bytes(), session, output="mask"))
    assert made.mode == "L"
    _, cutout = of_both(cut(COFFEE.read_bytes(), session))
    assert largest_difference(np.asarray(made), np.asarray(cutout)[..., 3]) <= 2


@pytest.mark.parametrize("output", ["both", "layers"])
def test_of_a_zip_there_is_the_cutout(session: Session, output: str) -> None:
    _, made = of_both(cut(COFFEE.read_bytes(), session, output=output))
    assert made.mode == "RGBA"


def test_what_stands_behind_and_the_frame_are_seen(session: Session) -> None:
    result = cut(COFFEE.read_bytes(), session, background_color="#1ec828", crop="true")
    source, made = of_both(result)
    assert source.size != made.size
    assert np.array_equal(np.asarray(made)[0, 0], [*GREEN, 255])


def test_several_cutouts_stand_one_below_the_other() -> None:
    result = cut(encode(ramp(400, 300), "PNG"), ThreeMasks())  # type: ignore[arg-type]
    _, made = of_both(result)
    assert made.size == (round(320 * 400 / 900), 320)


def test_colours_are_read_by_their_profile(session: Session) -> None:
    photo = Image.open(COFFEE).resize((330, 220))
    for preview in of_both(cut(encode(photo, "JPEG", icc_profile=rgb_profile()), session)):
        assert preview.info["icc_profile"] == rgb_profile()


def test_a_long_profile_is_left_out() -> None:
    given = Picture(np.full((8, 8, 4), 255, np.uint8), icc_profile=rgb_profile() + bytes(4096))
    assert "icc_profile" not in seen(previews.of_input(given), "JPEG").info
    assert "icc_profile" not in seen(previews.of_result([given.rgba], [], given.icc_profile, PARAMS), "PNG").info


def test_that_of_the_input_has_its_own_transparency_not_the_masks(session: Session) -> None:
    """The cutout is made of the same pixels."""
    photo = np.asarray(Image.open(COFFEE).resize((330, 220)))
    data = encode(np.dstack([photo, np.full(photo.shape[:2], 254, np.uint8)]), "PNG")
    source, _ = of_both(cut(data, session))
    assert np.abs(np.asarray(source, float) - np.asarray(Image.fromarray(photo).resize(source.size), float)).mean() < 5
