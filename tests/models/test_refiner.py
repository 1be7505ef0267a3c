"""ViTMatte as rembg runs it, with a small network that has its inputs: the real weights were not at hand."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from errors import ModelLoadFailed
from models.catalog import VITMATTE
from models.refiner import load
from operations import matting
from tests.models import tiny_onnx
from tests.service import SAMPLES

THRESHOLDS = (240, 10, 10)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Where rembg looks for them, too."""
    path = tmp_path / "models" / VITMATTE.name / VITMATTE.files[0].name
    path.parent.mkdir(parents=True)
    path.write_bytes(tiny_onnx.refining())
    return path


@pytest.mark.parametrize("size", [(451, 300), (300, 1400), (1024, 1024), (1, 1)])
def test_alpha_is_rembgs(size: tuple[int, int], weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rembg import matting as theirs

    monkeypatch.setenv("REMBG_HOME", str(weights.parents[2]))
    monkeypatch.setattr(theirs, "_sessions", {})
    photo = Image.open(SAMPLES[0]).resize(size)
    mask = Image.radial_gradient("L").resize(size)
    wanted = np.asarray(theirs.vitmatte_alpha(photo, mask))
    trimap = matting.trimap(np.asarray(mask), *THRESHOLDS)
    refiner = load(weights, threads=1)
    for _ in range(2):
        alpha = refiner.alpha(np.asarray(photo.convert("RGBA")), trimap)
        assert alpha.dtype == wanted.dtype
        assert np.array_equal(alpha, wanted)
    assert size == (1, 1) or len(np.unique(wanted)) > 100


def test_it_is_as_frugal_as_the_models(weights: Path) -> None:
    options = load(weights, threads=3)._session.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (3, 1)
    assert options.enable_mem_pattern is False


def test_a_file_that_is_no_network_is_refused(weights: Path) -> None:
    weights.write_bytes(weights.read_bytes()[:-20])
    with pytest.raises(ModelLoadFailed, match="The weights of vitmatte could not be loaded") as failure:
        load(weights, threads=1)
    assert str(weights.parent) not in str(failure.value)
