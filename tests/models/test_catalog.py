import inspect
import re
from typing import Any

import pytest

from errors import UnknownModel
from models.catalog import ALIASES, DEFAULT_MODEL, MODELS, REFINERS, VITMATTE, aliases_of, find, find_weights


@pytest.fixture(scope="module")
def rembg_sessions() -> dict[str, Any]:
    from rembg.sessions import sessions

    return dict(sessions)


def test_every_model_of_rembg_is_known_and_no_other(rembg_sessions: dict[str, Any]) -> None:
    assert set(MODELS) == set(rembg_sessions)


def test_what_would_leave_the_machine_is_marked_remote(rembg_sessions: dict[str, Any]) -> None:
    leaving = {name for name, session in rembg_sessions.items() if not session.is_local()}
    assert {model.name for model in MODELS.values() if model.kind == "remote"} == leaving


def test_addresses_and_checksums_are_those_that_rembg_uses(rembg_sessions: dict[str, Any]) -> None:
    local = [model for model in MODELS.values() if model.kind == "local" and model.name != "sam"]
    for model in local:
        (file,) = model.files
        source = inspect.getsource(rembg_sessions[model.name].download_models)
        assert re.findall(r"https://[^\"]+", source) == [file.sources[-1].location]
        assert re.findall(r"\"(md5|sha256):([0-9a-f]+)\"", source) in ([("md5", file.md5)], [("sha256", file.sha256)])
        assert file.name == f"{model.name}.onnx"


def test_both_files_of_sam_are_those_that_rembg_uses(rembg_sessions: dict[str, Any]) -> None:
    from rembg.sessions.sam import SAM_CHECKSUMS

    source = inspect.getsource(rembg_sessions["sam"].download_models)
    (prefix,) = set(re.findall(r"f\"(https://[^\"{]+)\{fname_(?:en|de)coder\}\"", source))
    checkpoint = re.search(r"\"sam_model\", \"(\w+)\"", source)
    assert checkpoint
    assert [file.name for file in MODELS["sam"].files] == [
        f"{checkpoint[1]}.{part}.onnx" for part in ("encoder", "decoder")
    ]
    for file in MODELS["sam"].files:
        assert file.sources[-1].location == f"{prefix}{file.name}"
        assert f"md5:{file.md5}" == SAM_CHECKSUMS[file.name]


def test_only_what_rembg_downloads_is_local(rembg_sessions: dict[str, Any]) -> None:
    downloading = {
        name for name, session in rembg_sessions.items() if "https://" in inspect.getsource(session.download_models)
    }
    assert {model.name for model in MODELS.values() if model.kind == "local"} == downloading


def test_the_refiner_is_the_one_that_rembg_uses() -> None:
    from rembg import matting

    (file,) = VITMATTE.files
    assert {"fname": file.name, "sha256": file.sha256} == matting.VARIANTS[matting.DEFAULT_VARIANT]
    assert [source.location for source in file.sources] == [f"{matting.BASE_URL}/{file.name}"]
    assert VITMATTE.input_size == matting.INPUT_SIZE


def test_a_refiner_has_weights_and_is_no_model() -> None:
    assert REFINERS == {"vitmatte": VITMATTE}
    assert find_weights("vitmatte") is VITMATTE
    assert find_weights("u2netp") is MODELS["u2netp"]
    with pytest.raises(UnknownModel):
        find("vitmatte")


def test_input_sizes_are_those_that_rembg_scales_to(rembg_sessions: dict[str, Any]) -> None:
    for model in MODELS.values():
        if model.kind != "remote":
            source = inspect.getsource(rembg_sessions[model.name].predict)
            sides = re.findall(r"\((\d+), \1\)", source) or re.findall(r"target_size = (\d+)", source)
            assert sides == [str(model.input_size)], model.name


def test_whatever_is_downloaded_can_be_verified() -> None:
    for model in MODELS.values():
        for file in model.files:
            assert bool(file.checksum) == bool(file.sources) == (model.kind == "local")


def test_the_strongest_checksum_counts() -> None:
    (file,) = MODELS["u2netp"].files
    assert file.md5
    assert file.checksum == ("sha256", file.sha256)


def test_a_model_is_found_by_its_name_and_by_what_old_clients_send() -> None:
    assert find("u2netp") is MODELS["u2netp"]
    assert find("siluette") is MODELS["silueta"]
    assert find("isnet-general") is MODELS["isnet-general-use"]
    assert aliases_of(MODELS["silueta"]) == ["siluette"]
    assert not set(ALIASES) & set(MODELS)
    assert find(DEFAULT_MODEL).name == "u2net"


def test_an_unknown_model_is_refused_with_the_closest_name() -> None:
    with pytest.raises(UnknownModel, match=r"no model named 'u2nett'.* Did you mean u2net\? .*python -m models list"):
        find("u2nett")
    with pytest.raises(UnknownModel) as refusal:
        find("x" * 10_000)
    assert "Did you mean" not in str(refusal.value)
    assert len(str(refusal.value)) < 300
