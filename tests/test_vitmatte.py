"""ViTMatte from the submit to the child, with a small network in place of its weights, which were not at hand."""

import json
import os
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import requests
from PIL import Image

from models import catalog
from models.catalog import VITMATTE
from models.refiner import load
from models.weights import WeightStore, open_store
from operations import matting
from operations.child import Task
from operations.pool import ChildPool, Plan, child_bytes, refiner_bytes
from storage.local import LocalStorage
from tests.faults.children import results_of
from tests.models import tiny_onnx
from tests.service import PATIENCE_SECONDS, POLL_SECONDS, SAMPLES, Service, running

MODEL = "u2netp"
PHOTO = SAMPLES[0].read_bytes()


@pytest.fixture(scope="module")
def weights() -> tuple[Path, ...]:
    return open_store(os.environ).pull(catalog.find(MODEL), lambda done, total: None)


@pytest.fixture
def network(tmp_path: Path) -> Path:
    path = tmp_path / "network.onnx"
    path.write_bytes(tiny_onnx.refining())
    return path


# --- a child ------------------------------------------------------------------------------------------------------


def pool_of(storage: LocalStorage, memory_bytes: int) -> ChildPool:
    return ChildPool(storage, Plan(narrow=1, wide=1), memory_bytes, 99, PATIENCE_SECONDS, 50_000_000, max_idle=2)


def test_the_network_is_loaded_once_for_the_first_picture_that_needs_it(
    network: Path, weights: tuple[Path, ...], tmp_path: Path
) -> None:
    storage = LocalStorage(tmp_path / "storage")
    storage.put("in/0/0", PHOTO)
    plain = Task("remove_background", {"model": MODEL, "output": "mask"}, "in/0/0", "results/0/plain")
    params = {**plain.params, "vitmatte": True}
    refined = replace(plain, params=params, output_key="results/0/refined", refiner=network)
    pool = pool_of(storage, 2**40)
    try:
        pool.run("plain", MODEL, weights, plain, PATIENCE_SECONDS)
        (child,) = pool._idle
        before = child.bytes
        pool.run("refined", MODEL, weights, refined, PATIENCE_SECONDS)
        grown = refiner_bytes(network, 1)
        network.unlink()  # loaded already
        again = replace(refined, output_key="results/0/again")
        pool.run("again", MODEL, weights, again, PATIENCE_SECONDS)
        assert pool._idle == [child]
        assert child.bytes == before + grown
        results = [storage.get(f"results/0/{name}") for name in ("plain", "refined", "again")]
    finally:
        pool.close()
    assert results[0] != results[1] == results[2]


def test_where_the_network_does_not_fit_beside_others_its_picture_waits(
    network: Path, weights: tuple[Path, ...], tmp_path: Path
) -> None:
    pool = pool_of(LocalStorage(tmp_path / "storage"), 2 * child_bytes(weights, 1))
    try:
        pool.warm(MODEL, weights)
        busy = pool._take("busy", MODEL, weights)
        with ThreadPoolExecutor(1) as others:
            waiting = others.submit(pool._take, "refined", MODEL, weights, network)
            deadline = time.monotonic() + PATIENCE_SECONDS
            while not pool._waited_for_memory:
                assert time.monotonic() < deadline
                time.sleep(POLL_SECONDS)
            assert not waiting.done()
            pool._put_back("busy", busy)
            child = waiting.result(PATIENCE_SECONDS)
        assert child is busy
        assert child.bytes == child_bytes(weights, 1) + refiner_bytes(network, 1)
    finally:
        pool.close()


# --- the whole service --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, weights: tuple[Path, ...]) -> Path:
    """A weights folder with a model and nothing else."""
    made = tmp_path_factory.mktemp("weights")
    folder = made / "models" / MODEL
    folder.mkdir(parents=True)
    (folder / weights[0].name).symlink_to(weights[0])
    return made


@pytest.fixture(scope="module")
def service(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("U2NET_HOME", "XDG_DATA_HOME"):
            patch.delenv(name, raising=False)
        patch.setenv("REMBG_HOME", str(home))
        patch.setenv("HOME", str(home))  # where earlier versions of rembg kept theirs
        with running(tmp_path_factory.mktemp("service"), max_concurrent="1", max_attempts="1") as started:
            started.wait_until("/ready")
            yield started


@pytest.fixture
def installed(home: Path) -> Iterator[Path]:
    """The network where the weights belong."""
    path = home / "models" / VITMATTE.name / VITMATTE.files[0].name
    path.parent.mkdir()
    path.write_bytes(tiny_onnx.refining())
    yield path
    shutil.rmtree(path.parent)


def verified(path: Path) -> None:
    """As if the published file lay there and had been read: no other content has its checksum."""
    record = {
        "path": str(path),
        "bytes": path.stat().st_size,
        "mtime_ns": path.stat().st_mtime_ns,
        "sha256": VITMATTE.files[0].sha256,
    }
    path.with_name(f"{path.name}.checked").write_text(json.dumps(record))


def asked(service: Service, path: str = "/queue/submit", field: str = "images", **query: str) -> requests.Response:
    files = {field: ("cat.jpg", PHOTO)}
    return requests.post(f"{service.url}{path}", params=query, files=files, timeout=PATIENCE_SECONDS)


def told(service: Service) -> dict[str, object]:
    (refiner,) = requests.get(f"{service.url}/models", timeout=10).json()["refiners"]
    return {name: refiner[name] for name in ("installed", "usable")}


@pytest.mark.parametrize(
    ("path", "field", "query"),
    [
        ("/queue/submit", "images", {"vitmatte": "true"}),
        ("/remove", "image", {"vitmatte": "true", "output": "mask"}),
        ("/api/remove", "file", {"vm": "true"}),
    ],
)
def test_without_its_weights_it_is_refused_at_once(
    service: Service, home: Path, path: str, field: str, query: dict[str, str]
) -> None:
    form = {} if "vitmatte" in query else query
    answer = requests.post(
        f"{service.url}{path}",
        params=None if form else query,
        data=form,
        files={field: ("cat.jpg", PHOTO)},
        timeout=PATIENCE_SECONDS,
    )
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["parameter"]) == (422, "model_not_usable", "vitmatte")
    assert problem["detail"] == (
        "The weights of vitmatte are not installed on this server. Its operator gets them with "
        "`python -m models pull vitmatte`; without them, leave vitmatte out."
    )
    assert requests.get(f"{service.url}/queue/jobs", timeout=10).json()["total"] == 0
    assert not (home / "models" / VITMATTE.name).exists()
    assert told(service) == {"installed": False, "usable": False}


def test_what_is_not_asked_for_is_not_missed(service: Service) -> None:
    assert asked(service, "/api/remove", "file").status_code == 200


def test_weights_that_are_not_the_published_ones_are_never_used(service: Service, installed: Path) -> None:
    """The first job finds out, since nobody reads 110 MB while a client waits; then everybody knows."""
    job = service.wait_for(service.submit([("cat.jpg", PHOTO)], vitmatte="true"))
    assert [entry["error_code"] for entry in results_of(job)] == ["weights_corrupt"]
    assert told(service) == {"installed": False, "usable": False}
    problem = asked(service, vitmatte="true").json()
    assert (problem["status"], problem["code"]) == (422, "model_not_usable")
    assert "are damaged. Its operator gets them with `python -m models pull vitmatte`" in problem["detail"]


def test_with_its_weights_the_edges_are_what_it_says(service: Service, home: Path, installed: Path) -> None:
    verified(installed)
    assert WeightStore(home).locate(VITMATTE) == (installed,)
    assert told(service) == {"installed": True, "usable": True}
    query = {"model": MODEL, "output": "mask", "cache": "off"}
    plain, refined = (asked(service, "/remove", "image", **query, vitmatte=wanted) for wanted in ("false", "true"))
    assert (plain.status_code, refined.status_code) == (200, 200)
    before, after = (np.asarray(Image.open(BytesIO(answer.content))) for answer in (plain, refined))
    photo = np.asarray(Image.open(SAMPLES[0]).convert("RGBA"))
    wanted = load(installed, threads=1).alpha(photo, matting.trimap(before, 240, 10, 10))
    assert np.abs(after.astype(int) - wanted).max() <= 1
    cutout = requests.post(
        f"{service.url}/api/remove",
        data={"vm": "true"},
        files={"file": ("cat.jpg", PHOTO)},
        timeout=PATIENCE_SECONDS,
    )
    assert cutout.status_code == 200
    assert np.array_equal(np.asarray(Image.open(BytesIO(cutout.content)))[..., 3], after)
