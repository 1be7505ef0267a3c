"""Options that say which part of a picture is looked at and delivered: real photos, a real model."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from errors import PictureError
from models.sessions import Prediction, Session
from operations.framing import _FAINTEST
from tests.cutouts import ASTRONAUT, CAT, COFFEE, cut, largest_difference, opened, rgba
from tests.pictures import Pixels, encode

PHOTO = COFFEE.read_bytes()


@pytest.fixture(scope="module")
def plain(session: Session) -> Pixels:
    """The whole cutout, which all others are part of."""
    return rgba(cut(PHOTO, session))


def box_of(cutout: Pixels) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what is seen well enough, found another way than the service does."""
    y, x = np.nonzero(cutout[..., 3] >= _FAINTEST)
    return x.min(), y.min(), x.max() + 1, y.max() + 1


def invisible(width: int = 64, height: int = 48) -> bytes:
    """A picture in which nothing can ever be seen, whatever the model says."""
    photo = Image.open(COFFEE).resize((width, height))
    photo.putalpha(0)
    return encode(photo, "PNG")


# --- crop ---------------------------------------------------------------------------------------------------------


def test_a_crop_touches_the_subject_on_every_side(session: Session, plain: Pixels) -> None:
    result = cut(PHOTO, session, crop=True)
    left, top, right, bottom = box_of(plain)
    assert (right - left, bottom - top) < (plain.shape[1], plain.shape[0])
    assert np.array_equal(rgba(result), plain[top:bottom, left:right])
    assert result.notes["subject_box"] == [left, top, right, bottom]
    cropped = rgba(result)[..., 3] >= _FAINTEST
    assert all(side.any() for side in (cropped[0], cropped[-1], cropped[:, 0], cropped[:, -1]))


@pytest.mark.parametrize(
    ("margin", "expected"),
    [
        ("7", (7, 7, 7, 7)),
        ("0", (0, 0, 0, 0)),
        ("10% 20px", ("10%", 20, "10%", 20)),
        ("1px 2px 3px 4px", (1, 2, 3, 4)),
        ("5% 10% 0 250px", ("5%", "10%", 0, 250)),
    ],
)
def test_margins_are_exact(session: Session, plain: Pixels, margin: str, expected: Sequence[int | str]) -> None:
    """Beyond the picture, too: there is nothing there."""
    left, top, right, bottom = box_of(plain)
    sides = (bottom - top, right - left) * 2
    above, after, below, before = (
        round(side * int(length[:-1]) / 100) if isinstance(length, str) else length
        for length, side in zip(expected, sides, strict=True)
    )
    room = 300
    wide = np.pad(plain, ((room, room), (room, room), (0, 0)))
    wanted = wide[top + room - above : bottom + room + below, left + room - before : right + room + after]
    assert np.array_equal(rgba(cut(PHOTO, session, crop=True, crop_margin=margin)), wanted)


def test_margins_have_an_end(session: Session) -> None:
    with pytest.raises(PictureError, match="ask for a smaller crop_margin") as raised:
        cut(PHOTO, session, crop=True, crop_margin="999999")
    assert raised.value.code == "too_many_pixels"


@pytest.mark.parametrize(
    "options",
    [
        {"crop": True},
        {"crop": True, "crop_margin": "50%", "shadow": True},
        {"scale": 100},
        {"position": "0% 100%"},
        {"crop": True, "scale": 10, "position": "center"},
    ],
    ids=str,
)
def test_where_nothing_is_seen_the_whole_frame_stays(session: Session, options: dict[str, Any]) -> None:
    result = cut(invisible(), session, **options)
    assert (result.width, result.height) == (64, 48)
    assert not rgba(result).any()
    assert result.notes["subject_box"] is None


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 2)], ids=str)
def test_the_smallest_pictures_there_are(session: Session, size: tuple[int, int]) -> None:
    every: dict[str, Any] = {
        "crop": True,
        "crop_margin": "10%",
        "scale": 10,
        "position": "0%",
        "roi": "0 0 100% 100%",
        "shadow": True,
    }
    photo = encode(Image.open(COFFEE).resize(size), "PNG")
    behinds: tuple[dict[str, Any], ...] = ({"background_color": "red"}, {"background_blur": 100}, {})
    for behind in behinds:
        assert opened(cut(photo, session, size="preview", output="cutout", **every, **behind)).width >= 1


# --- scale and position -------------------------------------------------------------------------------------------


def test_a_position_moves_the_subject_and_nothing_else(session: Session, plain: Pixels) -> None:
    left, top, right, bottom = box_of(plain)
    subject = plain[top:bottom, left:right]
    room_across, room_down = plain.shape[1] - subject.shape[1], plain.shape[0] - subject.shape[0]
    for position, across, down in (("0%", 0, 0), ("100% 0%", 1, 0), ("center", 0.5, 0.5), ("25% 100%", 0.25, 1)):
        moved = rgba(cut(PHOTO, session, position=position))
        x, y = round(room_across * across), round(room_down * down)
        wanted = np.zeros_like(plain)
        wanted[y : y + subject.shape[0], x : x + subject.shape[1]] = subject
        assert np.array_equal(moved, wanted), position


def test_the_original_position_is_where_it_was(session: Session, plain: Pixels) -> None:
    assert np.array_equal(rgba(cut(PHOTO, session, position="original")), plain)


@pytest.mark.parametrize("scale", [10, 60, 100])
def test_a_scale_is_the_subjects_share_of_the_picture(session: Session, plain: Pixels, scale: int) -> None:
    """In the direction in which it has less room; it stands in the middle, unless asked otherwise."""
    scaled = rgba(cut(PHOTO, session, scale=scale))
    assert scaled.shape == plain.shape
    left, top, right, bottom = box_of(scaled)
    shares = (right - left) / plain.shape[1], (bottom - top) / plain.shape[0]
    assert max(shares) == pytest.approx(scale / 100, abs=0.015)
    old_left, old_top, old_right, old_bottom = box_of(plain)
    shape = (right - left) / (bottom - top)
    assert shape == pytest.approx((old_right - old_left) / (old_bottom - old_top), rel=0.06)
    assert left + right == pytest.approx(plain.shape[1], abs=4)
    assert top + bottom == pytest.approx(plain.shape[0], abs=4)


def test_a_scaled_subject_can_stay_where_it_was_or_go_anywhere(session: Session, plain: Pixels) -> None:
    old = box_of(plain)
    left, top, right, bottom = box_of(rgba(cut(PHOTO, session, scale=20, position="original")))
    assert (left + right) / 2 == pytest.approx((old[0] + old[2]) / 2, abs=3)
    assert (top + bottom) / 2 == pytest.approx((old[1] + old[3]) / 2, abs=3)
    left, top, right, bottom = box_of(rgba(cut(PHOTO, session, scale=20, position="100% 0%")))
    assert right == pytest.approx(plain.shape[1], abs=2)
    assert top == pytest.approx(0, abs=2)


def test_a_scaled_edge_takes_no_colour_from_what_cannot_be_seen(session: Session) -> None:
    """Over orange, an orange picture shows no edge at all."""
    y, x = np.mgrid[:300, :400]
    own = np.where((x - 200) ** 2 + (y - 150) ** 2 < 90**2, 255, 0).astype(np.uint8)
    orange = np.full((300, 400, 3), (250, 140, 30), np.uint8)
    data = encode(np.dstack([orange, own]), "PNG")
    scaled = rgba(cut(data, session, scale=30, background_color="250,140,30", format="png"))
    assert np.abs(scaled[..., :3].astype(int) - (250, 140, 30)).max() <= 3


def test_with_a_crop_scale_and_position_mean_its_frame(session: Session, plain: Pixels) -> None:
    left, top, right, bottom = box_of(plain)
    cropped = rgba(cut(PHOTO, session, crop=True, scale=50, position="0%"))
    assert cropped.shape[:2] == (bottom - top, right - left)
    _, _, new_right, new_bottom = box_of(cropped)
    assert new_right == pytest.approx((right - left) / 2, abs=2)
    assert new_bottom == pytest.approx((bottom - top) / 2, abs=2)


# --- roi ----------------------------------------------------------------------------------------------------------


def test_outside_of_the_region_all_is_background(session: Session) -> None:
    photo = Image.open(ASTRONAUT)
    region = rgba(cut(ASTRONAUT.read_bytes(), session, roi="25% 10% 75% 400px"))
    assert region.shape == (512, 512, 4)
    inside = (slice(51, 400), slice(128, 384))
    alone = rgba(cut(encode(photo.crop((128, 51, 384, 400)), "PNG"), session))
    assert largest_difference(region[inside], alone) <= 1
    assert alone[..., 3].max() == 255
    region[inside] = 0
    assert not region.any()


def test_a_region_reaches_as_far_as_the_picture(session: Session, plain: Pixels) -> None:
    assert np.array_equal(rgba(cut(PHOTO, session, roi="0 0 9999px 9999px")), plain)


@pytest.mark.parametrize("region", ["700 0 800 100", "0 0 0.2px 9", "50% 0 10px 50%"])
def test_an_empty_region_is_refused(session: Session, region: str) -> None:
    with pytest.raises(PictureError, match="holds nothing of this picture") as raised:
        cut(PHOTO, session, roi=region)
    assert raised.value.code == "invalid_roi"


def test_a_region_means_pixels_of_the_file(session: Session) -> None:
    """Whatever size is worked on."""
    small = rgba(cut(ASTRONAUT.read_bytes(), session, roi="256px 0 512px 512px", max_megapixels=0.065536))
    assert small.shape == (256, 256, 4)
    assert not small[:, :128].any()
    assert small[:, 128:].any()


# --- size ---------------------------------------------------------------------------------------------------------


def large(photo: Image.Image, side: int, **options: Any) -> bytes:
    return encode(photo.resize((side, side * photo.height // photo.width), Image.Resampling.LANCZOS), "JPEG", **options)


def test_sizes_are_megapixels_at_most(session: Session) -> None:
    photo = large(Image.open(CAT), 2000)  # 2.66 megapixels
    for options, pixels in (
        ({"size": "preview"}, 250_000),
        ({"size": "medium"}, 1_500_000),
        ({"max_megapixels": 0.01}, 10_000),
        ({"size": "medium", "max_megapixels": 0.3}, 300_000),
    ):
        result = cut(photo, session, **options)
        assert 0.98 * pixels < result.width * result.height <= pixels, options
        assert result.width / result.height == pytest.approx(451 / 300, rel=0.01)
    assert cut(photo, session, size="hd").width == 2000


def test_what_is_small_enough_stays_as_it_is(session: Session, plain: Pixels) -> None:
    assert np.array_equal(rgba(cut(PHOTO, session, size="preview", max_megapixels=0.24)), plain)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "CMYK"])
def test_a_shrunk_picture_is_the_picture(session: Session, kind: str) -> None:
    """JPEG shrinks while it is decoded: at full size nobody could tell it from one that was shrunk by Pillow."""
    photo = Image.open(CAT).resize((1804, 1200), Image.Resampling.BICUBIC)
    data = encode(photo.convert("CMYK"), "JPEG") if kind == "CMYK" else encode(photo, kind)
    shrunk = rgba(cut(data, session, max_megapixels=0.1353, output="cutout"))
    wanted = np.asarray(photo.resize((shrunk.shape[1], shrunk.shape[0]), Image.Resampling.LANCZOS))
    solid = shrunk[..., 3] > 200
    assert np.abs(shrunk[solid][:, :3].astype(int) - wanted[solid]).mean() < 1.5


def test_an_upright_picture_is_shrunk_upright(session: Session) -> None:
    tags = Image.Exif()
    tags[0x0112] = 6
    result = cut(large(Image.open(CAT), 1000, exif=tags), session, size="preview")
    assert result.width < result.height


# --- several masks ------------------------------------------------------------------------------------------------


class TwoThings:
    """A model that, like u2net_cloth_seg, tells kinds of things apart: here one upper left, one lower right."""

    def predict(self, rgba: NDArray[np.uint8], prompt: object) -> Prediction:
        masks = np.zeros((2, *rgba.shape[:2]), np.uint8)
        masks[0, 10:20, 15:30] = 255
        masks[1, 25:30, 40:50] = 255
        return Prediction([*masks], 1.0)


def test_several_cutouts_are_framed_alike() -> None:
    photo = np.asarray(Image.open(COFFEE).resize((60, 40)))
    result = cut(encode(photo, "PNG"), TwoThings(), crop=True, crop_margin="1px")  # type: ignore[arg-type]
    both = rgba(result)
    assert both.shape == (2 * (20 + 2), 35 + 2, 4)
    first, second = both[:22], both[22:]
    assert np.array_equal(first[1:11, 1:16, :3], photo[10:20, 15:30])
    assert np.array_equal(second[16:21, 26:36, :3], photo[25:30, 40:50])
    assert first.any(axis=2).sum() == 10 * 15
    assert second.any(axis=2).sum() == 5 * 10
    assert result.notes["subject_box"] == [15, 10, 50, 30]
