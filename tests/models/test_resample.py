"""models.resample against Pillow: the same levels, all of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from models.resample import resize

SIDES = st.integers(1, 700)
SQUARES = st.sampled_from([1, 7, 64, 320])


def noise(seed: int, *shape: int) -> NDArray[np.uint8]:
    """Half of it black and white, where weights below 0 and above 1 show most."""
    chance = np.random.default_rng(seed)
    levels = chance.integers(0, 256, shape, np.uint8)
    return np.where(chance.random(shape) < 0.5, levels, levels // 128 * 255).astype(np.uint8)


def by_pillow(picture: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS))


@settings(deadline=None)
@given(width=SIDES, height=SIDES, side=SQUARES, seed=st.integers(0, 2**32))
def test_a_picture_for_the_model_equals_pillows(width: int, height: int, side: int, seed: int) -> None:
    rgba = noise(seed, height, width, 4)
    small = resize(rgba, side, side)
    assert np.array_equal(small[..., :3], by_pillow(rgba[..., :3], side, side))


@settings(deadline=None)
@given(width=SIDES, height=SIDES, side=SQUARES, seed=st.integers(0, 2**32))
def test_a_mask_for_the_picture_equals_pillows(width: int, height: int, side: int, seed: int) -> None:
    mask = noise(seed, side, side)
    assert np.array_equal(resize(mask, width, height), by_pillow(mask, width, height))


@pytest.mark.parametrize(("width", "height"), [(4000, 3000), (3000, 4000), (1000, 3000), (5000, 40), (30, 4001)])
def test_the_sizes_of_cameras_and_odd_ones(width: int, height: int) -> None:
    rgba, mask = noise(1, height, width, 4), noise(2, 320, 320)
    assert np.array_equal(resize(rgba, 320, 320)[..., :3], by_pillow(rgba[..., :3], 320, 320))
    assert np.array_equal(resize(mask, width, height), by_pillow(mask, width, height))


def test_a_picture_whose_rows_do_not_lie_side_by_side() -> None:
    rgba = noise(3, 90, 80, 4)
    for part in (rgba[:, ::2], rgba[::2], rgba.swapaxes(0, 1)):
        assert np.array_equal(resize(part, 20, 30), resize(np.ascontiguousarray(part), 20, 30))
