"""One model for all tests of operations: ours, and rembg's own from the same file."""

import os
from collections.abc import Iterator
from typing import Any

import pytest

from models.catalog import MODELS
from models.sessions import Session, load
from models.weights import open_store


@pytest.fixture(scope="session")
def session() -> Session:
    model = MODELS["u2netp"]
    return load(model, open_store(os.environ).pull(model, lambda done, total: None), threads=2)


@pytest.fixture(scope="session")
def rembg_session() -> Iterator[Any]:
    """With its own defaults."""
    import rembg

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REMBG_HOME", str(open_store(os.environ).home))
        yield rembg.new_session("u2netp")
