"""operations.resizing: sizes, and colours that stay what they are."""

import numpy as np
import pytest
from PIL import Image

from operations.resizing import fitting, resize
from tests.pictures import ramp


@pytest.mark.parametrize("size", [(45, 30), (8, 90), (200, 150)], ids=["smaller", "narrower", "larger"])
def test_what_cannot_be_seen_gives_no_colour(size: tuple[int, int]) -> None:
    """An orange square on nothing stays orange to its very edge."""
    picture = np.zeros((100, 120, 4), np.uint8)
    picture[20:80, 30:90] = (250, 140, 30, 255)
    resized = resize(picture, *size, opaque=False)
    assert resized.shape == (size[1], size[0], 4)
    visible = resized[..., 3] > 64
    assert visible.any()
    assert not visible.all()
    assert np.abs(resized[visible][:, :3].astype(int) - (250, 140, 30)).max() <= 4


def test_an_opaque_picture_becomes_what_pillow_makes_of_it() -> None:
    picture = np.dstack([ramp(90, 60), np.full((60, 90), 255, np.uint8)])
    theirs = Image.fromarray(picture).resize((33, 21), Image.Resampling.LANCZOS)
    assert np.array_equal(resize(picture, 33, 21, opaque=True), np.asarray(theirs))


@pytest.mark.parametrize(
    ("size", "most_pixels", "fits"),
    [
        ((4000, 3000), None, (4000, 3000)),
        ((4000, 3000), 12_000_000, (4000, 3000)),
        ((4000, 3000), 250_000, (577, 433)),
        ((1, 1_000_000), 250_000, (1, 250_000)),
        ((1_000_000, 1), 10, (10, 1)),
        ((500, 400), 1, (1, 1)),
    ],
)
def test_what_fits(size: tuple[int, int], most_pixels: int | None, fits: tuple[int, int]) -> None:
    assert fitting(*size, most_pixels) == fits
