"""How sure a model is, with real weights, and with small real models that give exactly what is wanted."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from models.catalog import MODELS
from models.sessions import Prediction, load
from tests.models.tiny_onnx import giving, pointed_at

PICTURE = np.full((40, 60, 4), 200, np.uint8)
ANYTHING = np.random.default_rng(1).integers(0, 256, (48, 64, 4), dtype=np.uint8)


def predicted(folder: Path, name: str, output: NDArray[np.float32]) -> Prediction:
    model = MODELS[name]
    path = folder / "model.onnx"
    path.write_bytes(giving(output, model.input_size or 320))
    return load(model, (path,), threads=1).predict(ANYTHING)


def square(low: float, high: float, side: int = 8) -> NDArray[np.float32]:
    """1 × 1 × side × side: one value in the middle quarter, another around it."""
    values = np.full((1, 1, side, side), low, np.float32)
    values[..., side // 4 : -side // 4, side // 4 : -side // 4] = high
    return values


@pytest.mark.parametrize(
    ("name", "low", "high", "confidence"),
    [
        ("u2net", 0.0, 0.9, 0.9),
        ("u2netp", 0.01, 0.03, 0.03),
        ("isnet-general-use", 0.1, 0.7, 0.7),
        ("bria-rmbg", 0.0, 1.0, 1.0),
        ("birefnet-general", -8.0, 2.0, 0.881),
        ("birefnet-general-lite", -90.0, -3.0, 0.047),
        ("dis_custom", -4.0, 7.0, 1.0),
    ],
)
def test_it_is_the_strength_before_the_stretch(
    name: str, low: float, high: float, confidence: float, tmp_path: Path
) -> None:
    found = predicted(tmp_path, name, square(low, high))
    assert found.confidence == pytest.approx(confidence, abs=0.001)
    (mask,) = found.masks
    assert (mask.min(), mask.max()) == (0, 255)


@pytest.mark.parametrize("value", [0.0, 0.7, 1.0, np.nan, np.inf])
@pytest.mark.parametrize("name", ["u2netp", "u2net", "birefnet-general"])
def test_the_same_everywhere_is_an_empty_mask(name: str, value: float, tmp_path: Path) -> None:
    found = predicted(tmp_path, name, square(value, value))
    assert found.confidence == 0
    assert [mask.shape for mask in found.masks] == [ANYTHING.shape[:2]]
    assert not found.masks[0].any()


def test_one_value_that_is_no_number_is_an_empty_mask(tmp_path: Path) -> None:
    output = square(0.0, 0.9)
    output[0, 0, 0, 0] = np.nan
    found = predicted(tmp_path, "u2net", output)
    assert found.confidence == 0
    assert not found.masks[0].any()


@pytest.mark.parametrize(("score", "confidence"), [(9.0, 1.0), (1.0, 0.475), (-9.0, 0.0)])
def test_clothes_are_what_is_no_background(score: float, confidence: float, tmp_path: Path) -> None:
    scores = np.zeros((1, 4, 768, 768), np.float32)
    scores[0, 0] = 9.0 if score < 0 else 0.0
    scores[0, 2] = square(-20.0, score, 768)[0, 0]
    if score > 0:
        scores[0, 0], scores[0, 1], scores[0, 3] = 0.0, -20.0, -20.0
        expected = np.exp(score) / (1 + np.exp(score))
    else:
        expected = 0.0
    found = predicted(tmp_path, "u2net_cloth_seg", scores)
    assert len(found.masks) == 3
    assert found.confidence == pytest.approx(expected, abs=0.001)


def test_sam_looks_where_it_is_told(tmp_path: Path) -> None:
    paths = tmp_path / "encoder.onnx", tmp_path / "decoder.onnx"
    for path, data in zip(paths, pointed_at(radius=120, overlap=0.8), strict=True):
        path.write_bytes(data)
    session = load(MODELS["sam"], paths, threads=1)
    photo = np.zeros((342, 512, 4), np.uint8)  # half of what SAM looks at, so its disk is half as wide
    for x, y in ((100, 200), (400, 80)):
        found = session.predict(photo, [{"type": "point", "data": [x, y], "label": 1}])
        (mask,) = found.masks
        down, across = np.nonzero(mask)
        assert (across.mean(), down.mean()) == pytest.approx((x, y), abs=1)
        assert (mask > 0).sum() == pytest.approx(np.pi * 60**2, rel=0.03)
        assert found.confidence == pytest.approx(0.8)
    (middle,) = session.predict(photo).masks
    down, across = np.nonzero(middle)
    assert (across.mean(), down.mean()) == pytest.approx((256, 171), abs=1)
    corner = session.predict(photo, [{"type": "rectangle", "data": [60, 70, 300, 200], "label": 0}]).masks[0]
    assert np.argwhere(corner).mean(axis=0) == pytest.approx((70, 60), abs=1)
    nothing = session.predict(photo, [{"type": "point", "data": [5000, 5000], "label": 1}])
    assert nothing.confidence == 0
    assert not nothing.masks[0].any()
