"""Edges: beside rembg's own on the sample photos, on composites with known truth, and on hostile masks."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from bench.composites import as_a_model_sees_it, composites
from bench.edges import fringe_error, ours, rembgs
from models.refiner import Refiner, load
from operations import edges, foreground, matting
from operations.params import Params
from tests.models import tiny_onnx

Pixels = NDArray[np.uint8]
SAMPLES = sorted((Path(__file__).parents[2] / "docs" / "samples").glob("*.jpg"))
CHANCE = np.random.default_rng(5)


def rgba_of(rgb: Pixels) -> Pixels:
    rgba: Pixels = np.asarray(Image.fromarray(rgb).convert("RGBA"))
    return rgba


def noise(height: int, width: int, channels: int = 4) -> Pixels:
    return CHANCE.integers(0, 256, (height, width, channels), dtype=np.uint8)


def blob(height: int, width: int) -> Pixels:
    """A soft disk."""
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    return np.asarray(np.clip((0.6 - np.hypot(x, y)) * 1000 + 128, 0, 255), np.uint8)


# --- post_process_mask ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("height", "width"), [(240, 320), (321, 77), (1, 50), (50, 1), (3, 3), (1, 1)])
def test_hardened_masks_are_rembgs(height: int, width: int) -> None:
    from rembg.bg import post_process

    rough = noise(height, width, 1)[..., 0]
    small = Image.fromarray(noise(12, 16, 1)[..., 0])
    smooth = np.asarray(small.resize((width, height), Image.Resampling.LANCZOS))
    for mask in (rough, smooth, blob(height, width), np.zeros_like(rough), np.full_like(rough, 255)):
        assert np.array_equal(edges.hardened(mask), post_process(mask))


# --- alpha_matting ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "thresholds", [{}, {"alpha_matting_erode_size": 0}, {"alpha_matting_foreground_threshold": 200}], ids=str
)
@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_small_photos_are_matted_as_rembg_does_it(path: Path, thresholds: dict[str, int]) -> None:
    photo = Image.open(path).resize((200, 160))
    rgba, mask = rgba_of(np.asarray(photo)), blob(160, 200)
    theirs = rembgs({"alpha_matting": True, **thresholds})(rgba, mask)
    cutout = ours({"alpha_matting": True, **thresholds})(rgba, mask)
    differences = np.abs(cutout[..., 3].astype(int) - theirs[..., 3])
    assert differences.max() <= 2
    # rembg cuts fractions off, here they are rounded.
    assert differences.mean() < 0.5
    assert (cutout[..., 3] != mask).sum() > 300


@pytest.mark.parametrize("size", [(160, 200), (900, 1200)])
def test_what_is_sure_stays_sure(size: tuple[int, int]) -> None:
    mask = blob(*size)
    refined = matting.matte(noise(*size), trimap(mask))
    assert refined is not None
    y, x = np.mgrid[-1 : 1 : size[0] * 1j, -1 : 1 : size[1] * 1j]
    assert (refined[np.hypot(x, y) < 0.4] == 255).all()
    assert not refined[np.hypot(x, y) > 0.8].any()
    assert len(np.unique(refined)) > 50


def test_hair_is_found_in_a_photo_larger_than_the_working_size() -> None:
    composite = composites(1.0)[2]
    mask = as_a_model_sees_it(composite.mask)
    assert mask.size > 3 * matting.WORKING_PIXELS
    refined = matting.matte(composite.shown, trimap(mask))
    assert refined is not None
    before, after = (np.abs(each / 255 - composite.alpha)[composite.edge].mean() for each in (mask, refined))
    assert after < 0.4 * before


@pytest.mark.parametrize(("height", "width"), [(1, 300), (300, 1), (2, 40), (3, 40), (1, 1), (40, 60)])
@pytest.mark.parametrize("kind", ["unknown", "empty", "full", "halves", "noise", "one pixel"])
def test_hostile_masks_come_to_an_end(kind: str, height: int, width: int) -> None:
    mask = np.full((height, width), {"unknown": 128, "full": 255}.get(kind, 0), np.uint8)
    if kind == "halves":
        mask[height // 2 :, width // 2 :] = 255
    elif kind == "noise":
        mask = noise(height, width, 1)[..., 0]
    elif kind == "one pixel":
        mask[-1, -1] = 255
    for rgba in (noise(height, width), np.zeros((height, width, 4), np.uint8)):
        for erode_size in (0, 1, 100):
            params = Params(model="u2net", alpha_matting=True, alpha_matting_erode_size=erode_size)
            (refined,) = edges.refine(rgba, [mask], params)
            assert refined.shape == mask.shape
            assert refined.dtype == mask.dtype
            cutout = np.dstack([rgba[..., :3], refined])
            edges.decontaminate(rgba, [refined], [cutout], params)
            if kind == "unknown":
                assert np.array_equal(refined, mask)


LARGE = """
import resource, sys
import cv2, numpy as np
from models.catalog import MODELS
from operations import child, edges
from operations.params import Params
cv2.setNumThreads(1)
side = int(sys.argv[1])
photo = cv2.resize(np.random.default_rng(1).integers(0, 256, (50, 50, 4), np.uint8), (side, side))
mask = np.full((side, side), 128, np.uint8)
mask[: side // 8, : side // 8], mask[-side // 8 :, -side // 8 :] = 255, 0
child.limit_memory(child.working_bytes(MODELS["u2net"], side * side))
params = Params(model="u2net", alpha_matting=True)
(refined,) = edges.refine(photo, [mask], params)
cutout = cv2.copyTo(photo, refined)
edges.decontaminate(photo, [refined], [cutout], params)
assert refined[0, 0] == 255 and refined[-1, -1] == 0
assert not child.memory_is_short()
"""


@pytest.mark.parametrize("side", [1000, 7000])
def test_it_fits_into_the_memory_of_a_child_that_takes_no_larger_pictures(side: int) -> None:
    """With hardly anything known, which costs the most."""
    project = Path(__file__).parents[2]
    command = [sys.executable, "-c", LARGE, str(side)]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr


def trimap(mask: Pixels, erode_size: int = 10) -> Pixels:
    return matting.trimap(mask, 240, 10, erode_size)


@pytest.mark.parametrize(("height", "width"), [(1, 300), (2, 40), (60, 40), (300, 200)])
def test_trimaps_are_rembgs(height: int, width: int) -> None:
    from rembg.matting import trimap_from_mask

    for mask in (blob(height, width), noise(height, width, 1)[..., 0], np.full((height, width), 255, np.uint8)):
        for erode_size in (0, 1, 2, 3, 10):
            theirs = trimap_from_mask(Image.fromarray(mask), erode_size=erode_size)
            assert np.array_equal(trimap(mask, erode_size), np.asarray(theirs))


# --- vitmatte -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def refiner(tmp_path_factory: pytest.TempPathFactory) -> Refiner:
    path = tmp_path_factory.mktemp("weights") / "refiner.onnx"
    path.write_bytes(tiny_onnx.refining())
    return load(path, threads=1)


def test_the_network_is_asked_where_there_is_an_edge(refiner: Refiner) -> None:
    """What it says becomes the mask, whatever matting would have said, and colours are cleaned by it."""
    rgba, mask = noise(64, 80), blob(64, 80)
    params = Params(model="u2net", vitmatte=True, alpha_matting=True, alpha_matting_erode_size=3)
    (refined,) = edges.refine(rgba, [mask], params, refiner)
    assert np.array_equal(refined, refiner.alpha(rgba, trimap(mask, 3)))
    assert not np.array_equal(refined, mask)
    cutout = np.dstack([rgba[..., :3], refined])
    wanted = cutout.copy()
    foreground.decontaminate(rgba, refined, wanted)
    edges.decontaminate(rgba, [refined], [cutout], params)
    assert np.array_equal(cutout, wanted)
    assert not np.array_equal(cutout[..., :3], rgba[..., :3])


def test_without_an_edge_there_is_nothing_to_ask(refiner: Refiner) -> None:
    nothing = np.zeros((64, 80), np.uint8)
    (refined,) = edges.refine(noise(64, 80), [nothing], Params(model="u2net", vitmatte=True), refiner)
    assert not refined.any()


# --- decontaminate ------------------------------------------------------------------------------------------------


def test_soft_edges_lose_the_old_background_better_than_with_rembg() -> None:
    pictures = composites(0.1)
    for cases in (
        [(each, each.mask) for each in pictures],
        [(each, as_a_model_sees_it(each.mask)) for each in pictures],
    ):
        untouched = fringe_error(ours({}), cases)
        cleaned = fringe_error(ours({"decontaminate": True}), cases)
        assert cleaned < untouched
        assert cleaned < 0.65 * fringe_error(rembgs({"decontaminate": True}), cases)


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_only_soft_edges_get_other_colours(path: Path) -> None:
    rgb = np.asarray(Image.open(path))
    rgba, mask = rgba_of(rgb), blob(*rgb.shape[:2])
    cutout, cleaned = ours({})(rgba, mask), ours({"decontaminate": True})(rgba, mask)
    soft = (mask > 0) & (mask < 255)
    assert np.array_equal(cutout[..., 3], cleaned[..., 3])
    assert np.array_equal(cutout[~soft], cleaned[~soft])
    assert (cutout[soft] != cleaned[soft]).any()


def test_pixels_that_were_transparent_stay_empty() -> None:
    rgba, mask = noise(64, 64), np.full((64, 64), 128, np.uint8)
    mask[:32] = 255
    cutout = np.dstack([rgba[..., :3], mask])
    cutout[:, :20] = 0
    foreground.decontaminate(rgba, mask, cutout)
    assert not cutout[:, :20].any()


def test_each_of_several_masks_gets_its_own_colours() -> None:
    rgba, first = noise(64, 64), blob(64, 64)
    masks = [first, 255 - first]
    params = Params(model="u2net", decontaminate=True)
    cutouts = [np.dstack([rgba[..., :3], mask]) for mask in masks]
    edges.decontaminate(rgba, masks, cutouts, params)
    for cutout, mask in zip(cutouts, masks, strict=True):
        alone = np.dstack([rgba[..., :3], mask])
        foreground.decontaminate(rgba, mask, alone)
        assert np.array_equal(cutout, alone)
