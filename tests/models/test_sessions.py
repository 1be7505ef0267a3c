from pathlib import Path

import numpy
import pytest
from numpy.typing import NDArray
from PIL import Image

from errors import ModelLoadFailed
from models.catalog import MODELS
from models.sessions import Session, load, normalized
from models.weights import WeightStore

MODEL = MODELS["u2netp"]


def pixels(picture: Image.Image) -> NDArray[numpy.uint8]:
    return numpy.asarray(picture.convert("RGBA"))


@pytest.fixture(scope="module")
def session(weights: WeightStore) -> Session:
    return load(MODEL, weights.locate(MODEL), threads=2)


@pytest.mark.parametrize(
    ("name", "photo"),
    [("u2netp", "astronaut"), ("u2netp", "cat"), ("u2netp", "coffee"), ("u2netp", "rocket"), ("u2net", "rocket")],
)
def test_masks_equal_those_of_rembg(name: str, photo: str, weights: WeightStore) -> None:
    import rembg
    import skimage.data

    model = MODELS[name]
    weights.pull(model, lambda done, total: None)
    picture = Image.fromarray(getattr(skimage.data, photo)())
    (ours,) = load(model, weights.locate(model), threads=2).predict(pixels(picture)).masks
    (theirs,) = rembg.new_session(name, providers=["CPUExecutionProvider"]).predict(picture)
    assert ours.shape == (picture.height, picture.width)
    levels = ours.astype(int)
    assert numpy.abs(levels - numpy.asarray(theirs, dtype=int)).max() <= 1
    assert levels.min() < 10
    assert levels.max() > 245


@pytest.mark.parametrize(("mean", "std"), [((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), ((0.5,) * 3, (1.0,) * 3)])
@pytest.mark.parametrize("brightest", [255, 131, 1, 0])
def test_levels_are_scaled_as_rembg_does_it(
    mean: tuple[float, ...], std: tuple[float, ...], brightest: int, session: Session
) -> None:
    from rembg.sessions.base import BaseSession

    levels = numpy.random.default_rng(1).integers(0, brightest + 1, (320, 320, 3), dtype=numpy.uint8)
    picture = Image.fromarray(levels)
    (theirs,) = BaseSession.normalize(session._backend, picture, mean, std, (320, 320)).values()
    ours = normalized(picture, mean, std, (320, 320))
    assert ours.dtype == theirs.dtype
    assert numpy.array_equal(ours, theirs)


def test_it_is_frugal_with_memory_and_other_peoples_cores(weights: WeightStore) -> None:
    loaded = load(MODEL, weights.locate(MODEL), threads=3)
    options = loaded._backend.inner_session.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (3, 1)
    assert options.enable_mem_pattern is False
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert options.log_severity_level == 3


def test_a_custom_model_is_loaded_from_where_it_lies(weights: WeightStore, tmp_path: Path, session: Session) -> None:
    elsewhere = tmp_path / "u2net_custom.onnx"
    elsewhere.write_bytes(weights.locate(MODEL)[0].read_bytes())
    custom = load(MODELS["u2net_custom"], (elsewhere,), threads=1)
    picture = Image.radial_gradient("L").convert("RGB")
    assert numpy.array_equal(custom.predict(pixels(picture)).masks[0], session.predict(pixels(picture)).masks[0])


def test_a_file_that_is_no_model_is_refused(
    weights: WeightStore, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    damaged = tmp_path / "u2netp.onnx"
    damaged.write_bytes(weights.locate(MODEL)[0].read_bytes()[:2_000_000])
    with pytest.raises(ModelLoadFailed, match="The model u2netp could not be loaded") as failure:
        load(MODEL, (damaged,), threads=1)
    assert str(tmp_path) not in str(failure.value)
    assert capfd.readouterr().err == ""


def test_both_files_of_sam_are_opened(tmp_path: Path) -> None:
    paths = (tmp_path / "encoder.onnx", tmp_path / "decoder.onnx")
    with pytest.raises(ModelLoadFailed) as failure:
        load(MODELS["sam"], paths, threads=1)
    assert str(paths[0]) in str(failure.value.__cause__)


def test_a_provider_that_this_machine_lacks_is_refused(weights: WeightStore) -> None:
    with pytest.raises(ModelLoadFailed, match=r"cannot use NoSuchProvider .*; it knows .*CPUExecutionProvider"):
        load(MODEL, weights.locate(MODEL), threads=1, providers=["NoSuchProvider", "CPUExecutionProvider"])


def test_a_provider_that_is_here_is_used(weights: WeightStore) -> None:
    assert load(MODEL, weights.locate(MODEL), threads=1, providers=["CPUExecutionProvider"]).model is MODEL
