"""What a transparent pixel hides is nobody's business: it must not shine into what is estimated around it."""

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from models.catalog import MODELS
from models.refiner import Refiner, load
from models.sessions import Prediction, Session
from operations import flood
from operations.background_removal import BackgroundRemoval
from tests.cutouts import COFFEE
from tests.models import tiny_onnx
from tests.pictures import Pixels, encode


class Told(Session):
    """A model that finds a soft ellipse in whatever it sees: real ones look at hidden colours too, as in rembg."""

    def __init__(self) -> None:
        self.model = MODELS["u2netp"]

    def predict(self, rgba: Pixels, prompt: Sequence[Mapping[str, object]] = ()) -> Prediction:
        height, width = rgba.shape[:2]
        y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
        return Prediction([np.asarray(np.clip((0.7 - np.hypot(x, y)) * 900 + 128, 0, 255), np.uint8)], 1.0)


@pytest.fixture(scope="module")
def refiner(tmp_path_factory: pytest.TempPathFactory) -> Refiner:
    path = tmp_path_factory.mktemp("weights") / "refiner.onnx"
    path.write_bytes(tiny_onnx.refining())
    return load(path, threads=1)


def photo(hidden: tuple[int, int, int], side: int = 240) -> Pixels:
    """Of a cup, with two holes at the edge of its subject in which something is hidden."""
    pixels = np.array(Image.open(COFFEE).resize((side * 4 // 3, side)).convert("RGBA"))
    pixels[side // 3 : side // 2, : side // 2] = (*hidden, 0)
    pixels[side // 8 : side // 5, side // 2 : side] = (*hidden, 0)
    return pixels


def made(hidden: tuple[int, int, int], refiner: Refiner, **options: Any) -> bytes:
    params = BackgroundRemoval.Params.model_validate({"model": "u2netp", **options})
    picture = encode(photo(hidden), "PNG")
    return BackgroundRemoval().run(picture, params, Told(), 10**6, refiner=refiner).data


@pytest.mark.parametrize(
    "options",
    [{"decontaminate": True}, {"alpha_matting": True}, {"vitmatte": True}, {"background_blur": 30}, {"shadow": True}],
    ids=str,
)
def test_hidden_colours_change_nothing(refiner: Refiner, options: dict[str, Any]) -> None:
    results = {made(hidden, refiner, **options) for hidden in ((0, 0, 0), (255, 0, 255), (0, 255, 0))}
    assert len(results) == 1


@pytest.mark.parametrize("side", [240, 900])
def test_they_become_what_lies_around(side: int) -> None:
    pixels = photo((255, 0, 255), side)
    flood.cover_hidden(pixels)
    seen, hidden = photo((0, 0, 0), side), pixels[..., 3] == 0
    assert np.array_equal(pixels[~hidden], seen[~hidden])
    edge = hidden & (cv2.dilate((~hidden).view(np.uint8), np.ones((5, 5), np.uint8)) > 0)
    near = cv2.blur(seen.astype(np.float32), (9, 9))
    near = near[..., :3] * 255 / np.maximum(near[..., 3:], 1)
    assert np.abs(pixels[edge][:, :3] - near[edge]).mean() < 12


@pytest.mark.parametrize("size", [(1, 1), (1, 60), (40, 30), (700, 600)])
def test_a_picture_of_which_nothing_is_seen(size: tuple[int, int]) -> None:
    pixels = np.full((*size, 4), (200, 30, 90, 0), np.uint8)
    flood.cover_hidden(pixels)
    assert not pixels[..., 3].any()
