"""Options that say what stands behind a subject, each proved on pixels: real photos, a real model."""

import re
from typing import Any

import numpy as np
import pytest
from PIL import Image

from errors import PictureError
from models.sessions import Session
from operations import layers
from operations.shadow import Shadow
from tests.cutouts import ASTRONAUT, COFFEE, cut, largest_difference, opened, over, rgba
from tests.pictures import Pixels, encode, ramp, rgb_profile

PHOTO = ASTRONAUT.read_bytes()
EVERYWHERE = (True, True, True, True)


@pytest.fixture(scope="module")
def plain(session: Session) -> Pixels:
    return rgba(cut(PHOTO, session))


def png(session: Session, **options: Any) -> Pixels:
    return rgba(cut(PHOTO, session, format="png", **options))


def painted(colour: tuple[int, int, int, int], like: Pixels) -> Pixels:
    return np.full_like(like, colour)


# --- colour -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "colour"),
    [("white", (255, 255, 255, 255)), ("ff880080", (255, 136, 0, 128)), ("0,0,255,1", (0, 0, 255, 1))],
)
def test_a_colour_stands_behind(session: Session, plain: Pixels, text: str, colour: tuple[int, int, int, int]) -> None:
    composed = png(session, background_color=text)
    wanted = over(plain, painted(colour, plain))
    # Where next to nothing can be seen, eight bits of colour mean next to nothing.
    weak = wanted[..., 3] < 8
    assert largest_difference(composed[~weak], wanted[~weak]) <= 1
    assert largest_difference(composed[..., 3], wanted[..., 3]) <= 1


def test_a_colour_is_what_rembg_makes_of_the_cutout(session: Session, plain: Pixels) -> None:
    from rembg.bg import apply_background_color

    for colour in ((255, 255, 255, 255), (200, 30, 60, 100), (0, 0, 0, 0)):
        theirs = apply_background_color(Image.fromarray(plain), colour)
        assert np.array_equal(png(session, background_color=",".join(map(str, colour))), np.asarray(theirs))


def display_p3() -> bytes:
    """sRGB with its red and green columns swapped would do: any RGB profile that is clearly not sRGB."""
    profile = rgb_profile()
    tags = {profile[at : at + 4]: at for at in range(132, 132 + 12 * int.from_bytes(profile[128:132]), 12)}
    red, green = (tags[name] for name in (b"rXYZ", b"gXYZ"))
    swapped = bytearray(profile)
    swapped[red + 4 : red + 12], swapped[green + 4 : green + 12] = (
        profile[green + 4 : green + 12],
        profile[red + 4 : red + 12],
    )
    return bytes(swapped)


def test_a_colour_looks_the_same_whatever_the_pictures_profile(session: Session) -> None:
    """One in which red and green change places, so that nobody can take it for sRGB."""
    photo = Image.open(ASTRONAUT)
    result = cut(encode(photo, "JPEG", icc_profile=display_p3()), session, background_color="ff0000")
    shown = opened(result)
    assert shown.info["icc_profile"] == display_p3()
    red, green, blue = np.asarray(shown)[2, 2]
    assert (red < 12, green > 243, blue < 12) == (True, True, True)


def test_an_unknown_profile_leaves_a_colour_as_it_is(session: Session) -> None:
    broken = rgb_profile()[:128] + bytes(200)
    broken = len(broken).to_bytes(4) + broken[4:]
    result = cut(
        encode(Image.open(ASTRONAUT), "JPEG", icc_profile=broken), session, background_color="ff0000", format="png"
    )
    assert rgba(result)[2, 2].tolist()[1:] == [0, 0, 255]


@pytest.mark.parametrize("size", [(1, 1), (300, 520), (257, 40)])
def test_layers_are_composed_exactly_as_pillow_does_it(size: tuple[int, int]) -> None:
    """Whatever is hidden, opaque or in between on either; but where nothing is seen, nothing is there."""
    chance = np.random.default_rng(3)
    front, back = chance.integers(0, 256, (2, *size, 4), np.uint8)
    for layer in (front, back):
        layer[..., 3] = np.clip(chance.integers(-200, 456, size), 0, 255)
    front[:, size[1] // 2 :, 3] //= 255  # mostly 0, with a few pixels of 1
    wanted = np.array(Image.alpha_composite(Image.fromarray(back), Image.fromarray(front)))
    wanted[wanted[..., 3] == 0] = 0
    before = back.copy()
    assert np.array_equal(layers.over(front, back), wanted)
    assert np.array_equal(back, before)


# --- another picture ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(600, 400), (200, 900), (30, 20)], ids=["like it", "tall", "small"])
def test_a_picture_covers_what_is_behind(session: Session, plain: Pixels, size: tuple[int, int]) -> None:
    """No more of it cut off than has to be, and as much on the one side as on the other."""
    behind = Image.fromarray(ramp(*size))
    height, width = plain.shape[:2]
    scale = max(width / size[0], height / size[1])
    x, y = (size[0] - width / scale) / 2, (size[1] - height / scale) / 2
    fitted = behind.resize((width, height), Image.Resampling.LANCZOS, box=(x, y, size[0] - x, size[1] - y))
    wanted = over(plain, np.asarray(fitted.convert("RGBA")))
    composed = png(session, behind=encode(behind, "PNG"))
    off = np.abs(composed.astype(int) - wanted)
    assert off[..., 3].max() == 0
    assert off.mean() < 3  # by a part of a pixel, where the picture's own pixels lie


def test_a_picture_that_is_transparent_itself_stays_so(session: Session, plain: Pixels) -> None:
    half = np.full_like(plain, (200, 200, 200, 90))
    assert largest_difference(png(session, behind=encode(half, "PNG")), over(plain, half)) <= 1


def test_the_colours_of_a_picture_behind_are_seen_as_they_were(session: Session) -> None:
    green = encode(np.full((50, 50, 3), (0, 255, 0), np.uint8), "PNG", icc_profile=display_p3())
    red, green_level, blue = np.asarray(opened(cut(PHOTO, session, behind=green)))[2, 2]
    assert (red > 243, green_level < 12, blue < 12) == (True, True, True)


@pytest.mark.parametrize(
    "behind",
    [b"GIF", COFFEE.read_bytes()[:9_000], b"", encode(ramp(900, 900), "PNG")],
    ids=["no", "cut", "empty", "large"],
)
def test_it_is_said_which_picture_is_broken(session: Session, behind: bytes) -> None:
    with pytest.raises(PictureError, match=re.compile("^The background picture cannot be used. The ")) as raised:
        cut(PHOTO, session, behind=behind, limit=800_000)
    assert raised.value.code == "broken_background_image"


# --- its own background, blurred ----------------------------------------------------------------------------------


def sharpness(pixels: Pixels, where: Pixels) -> float:
    grey = pixels[..., :3].astype(float).mean(axis=2)
    return float(np.abs(np.diff(grey, axis=1))[where[:, 1:] & where[:, :-1]].mean())


def test_a_blur_leaves_the_subject_and_softens_the_rest(session: Session, plain: Pixels) -> None:
    photo = np.asarray(Image.open(ASTRONAUT).convert("RGBA"))
    subject, rest = plain[..., 3] == 255, plain[..., 3] == 0
    before = sharpness(photo, rest)
    for strength in (5, 30, 100):
        blurred = png(session, background_blur=strength)
        assert np.array_equal(blurred[subject], photo[subject])
        assert blurred[..., 3].min() == 255
        after = sharpness(blurred, rest)
        assert after < before
        before = after
        assert np.abs(blurred[rest].astype(int).mean(axis=0) - photo[rest].mean(axis=0)).max() < 12


def test_the_subject_does_not_shine_out_of_its_blurred_background(session: Session) -> None:
    """Where it was, its surroundings take its place: red on blue, moved away, leaves nothing red."""
    photo = np.full((300, 400, 3), (20, 40, 200), np.uint8)
    y, x = np.mgrid[:300, :400]
    photo[(x - 130) ** 2 + (y - 150) ** 2 < 80**2] = (230, 30, 20)
    data = encode(photo, "PNG")
    assert rgba(cut(data, session))[150, 130, 3] > 200
    composed = rgba(cut(data, session, background_blur=20, scale=20, position="100% 0%", format="png"))
    assert np.abs(composed[70:230, 50:210, :3].astype(int) - (20, 40, 200)).mean() < 12


def test_a_transparent_background_stays_transparent_when_blurred(session: Session, plain: Pixels) -> None:
    own = np.full(plain.shape[:2], 255, np.uint8)
    own[:, :100] = 0
    photo = np.dstack([np.asarray(Image.open(ASTRONAUT)), own])
    photo[:, :100, :3] = (0, 255, 0)  # what is hidden there must not shine through
    composed = rgba(cut(encode(photo, "PNG"), session, background_blur=20, format="png"))
    assert not composed[:, :60].any()
    assert composed[:, 140:, 3].min() == 255
    red, green, blue = composed[:250, 80:110, :3].reshape(-1, 3).mean(axis=0)
    assert green < (red + blue) / 2 + 12


def test_a_blurred_background_goes_on_beyond_the_picture(session: Session) -> None:
    """As in a mirror."""
    composed = png(session, background_blur=10, crop=True, crop_margin="200px 0 0 0")
    result = cut(PHOTO, session, crop=True)
    top = 200 - result.notes["subject_box"][1]  # type: ignore[index]
    assert composed[..., 3].min() == 255
    assert largest_difference(composed[top - 5 : top], composed[top : top + 5][::-1]) == 0


# --- shadow -------------------------------------------------------------------------------------------------------


def test_a_hard_shadow_is_the_subject_in_black(session: Session, plain: Pixels) -> None:
    composed = png(session, shadow=True, shadow_blur="0", shadow_offset="30px -20px", shadow_opacity=40)
    shade = np.zeros_like(plain)
    shade[:-20, 30:, 3] = np.rint(plain[20:, :-30, 3] * 0.4)
    wanted = over(plain, shade)[:-20, 30:]
    weak = wanted[..., 3] < 8
    assert largest_difference(composed[:-20, 30:][~weak], wanted[~weak]) <= 1


def test_a_shadow_lies_before_the_background(session: Session, plain: Pixels) -> None:
    options: dict[str, Any] = {"shadow": True, "shadow_blur": "0", "shadow_offset": "30px -20px", "shadow_opacity": 100}
    composed = png(session, background_color="white", **options)
    only_shadow = np.roll(plain[..., 3] == 255, (-20, 30), (0, 1)) & (plain[..., 3] == 0)
    only_shadow[-20:] = only_shadow[:, :30] = False
    assert only_shadow.any()
    assert not composed[only_shadow][:, :3].any()


@pytest.mark.parametrize("blur", [6, 24, 90])
def test_a_soft_shadow_fades_out_over_its_blur(blur: int) -> None:
    """As the integral over a Gaussian of half the blur: half at the edge, a sixth half the way, nothing behind it."""
    half = np.zeros((50, 600), np.uint8)
    half[:, :300] = 255
    levels = Shadow(opacity=0.8, blur=blur, right=0, down=0).of(half, EVERYWHERE)[25, :, 3] / (0.8 * 255)
    assert levels[[299 - blur // 2, 299, 300, 300 + blur // 2]] == pytest.approx([0.84, 0.5, 0.5, 0.16], abs=0.08)
    assert levels[300 + blur + 3] < 0.05
    assert levels[300 + 2 * blur] == 0


def test_a_shadow_has_no_edge_where_the_picture_cuts_its_subject_off() -> None:
    """A column that reaches from the upper to the lower edge goes on in either direction, and so does its shadow."""
    column = np.zeros((100, 100), np.uint8)
    column[:, 40:60] = 255
    cast = Shadow(opacity=1.0, blur=0, right=30, down=20)
    goes_on, ends = (cast.of(column, sides)[..., 3] for sides in (EVERYWHERE, (False, True, True, True)))
    assert np.array_equal(goes_on, np.roll(column, 30, 1))
    assert np.array_equal(ends[20:], goes_on[20:])
    assert not ends[:20].any()
    soft = Shadow(opacity=1.0, blur=20, right=-10, down=-15)
    goes_on, ends = (soft.of(column, sides)[..., 3] for sides in (EVERYWHERE, (True, True, False, True)))
    assert largest_difference(goes_on, np.broadcast_to(goes_on[0], goes_on.shape)) <= 1
    assert largest_difference(ends[:50], goes_on[:50]) <= 4
    assert ends[-1].max() < 20


def test_a_crop_leaves_the_shadow_whole(session: Session) -> None:
    options: dict[str, Any] = {"shadow": True, "shadow_blur": "10px", "shadow_offset": "40px 25px"}
    cup = Image.open(COFFEE)
    photo = Image.new("RGB", (cup.width + 200, cup.height + 200), "white")
    photo.paste(cup, (100, 100))
    data = encode(photo, "PNG")
    bare = cut(data, session, crop=True, roi="30 30 95% 95%")
    shaded = cut(data, session, crop=True, roi="30 30 95% 95%", **options)
    assert (shaded.width, shaded.height) == (bare.width + 50, bare.height + 35)
    assert shaded.notes == bare.notes
    edge = rgba(shaded)[..., 3]
    assert max(edge[-1].max(), edge[:, -1].max()) < 20


def test_a_shadow_that_is_moved_into_the_frame_has_no_edge_of_it() -> None:
    """A square at the upper edge of its frame: below the place where that was, its soft shadow begins above."""
    square = np.zeros((200, 200), np.uint8)
    square[:80, 60:140] = 255
    shadow = Shadow(opacity=1.0, blur=30, right=0, down=60).of(square, (False,) * 4)[..., 3]
    steps = np.abs(np.diff(shadow[:, 100].astype(int)))
    assert shadow[0, 100] < 10 < 245 < shadow[100, 100]
    assert steps.max() < 12


def test_a_crop_makes_no_room_for_a_shadow_where_the_photo_cuts_its_subject_off(session: Session) -> None:
    """The astronaut ends at the lower edge of the photo. Nothing of her shadow does, beside her, above that edge."""
    options: dict[str, Any] = {"shadow": True, "shadow_blur": "10px", "shadow_offset": "40px 25px"}
    bare, shaded = (cut(PHOTO, session, crop=True, **asked) for asked in ({}, options))
    height = np.asarray(Image.open(ASTRONAUT)).shape[0]
    assert bare.notes["subject_box"][3] == height  # type: ignore[index]
    assert shaded.height == bare.height
    with_room = cut(PHOTO, session, crop=True, crop_margin="0 0 1px 0", **options)
    assert with_room.height == shaded.height + 35 + 1
    whole, ended = rgba(shaded), rgba(with_room)[: shaded.height]
    assert largest_difference(whole[:-45, :, 3], ended[:-45, : shaded.width, 3]) <= 4
    assert whole[-1, :, 3].astype(int).sum() > ended[-1, : shaded.width, 3].astype(int).sum()


def test_a_shadow_may_fall_far_outside(session: Session, plain: Pixels) -> None:
    assert np.array_equal(png(session, shadow=True, shadow_offset="-99999px 0"), plain)


# --- all at once --------------------------------------------------------------------------------------------------


def test_everything_together(session: Session) -> None:
    result = cut(
        ASTRONAUT.read_bytes(),
        session,
        behind=COFFEE.read_bytes(),
        roi="10% 0 90% 100%",
        size="preview",
        crop=True,
        crop_margin="20%",
        scale=70,
        position="50% 100%",
        shadow=True,
        output="both",
        format="webp",
    )
    assert result.content_type == "application/zip"
    assert result.notes["subject_box"] is not None
