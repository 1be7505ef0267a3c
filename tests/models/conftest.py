import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.catalog import MODELS
from models.weights import WeightStore, open_store
from tests.models.file_server import FileServer, serving


@pytest.fixture(scope="session")
def weights() -> WeightStore:
    """This machine's own weights, with u2netp: downloaded only where it is not there yet."""
    store = open_store(os.environ)
    store.pull(MODELS["u2netp"], lambda done, total: None)
    return store


@pytest.fixture(scope="session")
def weights_home(weights: WeightStore) -> Path:
    return weights.home


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as started:
        yield started
