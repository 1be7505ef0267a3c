from pathlib import Path

import numpy
import pytest
from PIL import Image

from errors import ModelLoadFailed
from models.catalog import MODELS
from models.sessions import Session, load
from models.weights import WeightStore

MODEL = MODELS["u2netp"]


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
    (ours,) = load(model, weights.locate(model), threads=2).predict(picture)
    (theirs,) = rembg.new_session(name, providers=["CPUExecutionProvider"]).predict(picture)
    assert (ours.mode, ours.size) == ("L", picture.size)
    levels = numpy.asarray(ours, dtype=int)
    assert numpy.abs(levels - numpy.asarray(theirs, dtype=int)).max() <= 1
    assert levels.min() < 10
    assert levels.max() > 245


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
    assert custom.predict(picture)[0].tobytes() == session.predict(picture)[0].tobytes()


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
