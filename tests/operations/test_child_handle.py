"""One child process as the service sees it: what it may answer, and what is left of it afterwards."""

import contextlib
import gc
import os
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from errors import ChildDied
from models import catalog
from models.weights import open_store
from operations.child import ChildSetup, warm
from operations.child_handle import Child, fork_server
from storage.local import LocalStorage


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Child]:
    weights = open_store(os.environ).locate(catalog.find("u2netp"))
    made = Child(fork_server(), ChildSetup("u2netp", weights, (1,), LocalStorage(tmp_path), 1_000_000), 2**30)
    made.load(60)
    yield made
    made.kill()
    made.wait()


def test_one_that_was_stopped_before_it_began_did_not_die_idle(child: Child) -> None:
    """Else the pool would make another one, for work that nobody wants any more."""
    child.kill()
    child.wait()
    with pytest.raises(ChildDied, match="stopped before it began"):
        child.call(warm, 5)


def test_a_result_that_cannot_be_sent_is_an_error_and_no_death(child: Child) -> None:
    with pytest.raises(TypeError, match="pickle"):
        child.call(eval, 5, "(nothing for nothing in ())")
    assert child.call(warm, 5) == child.pid


def test_an_error_does_not_hold_what_it_went_through(child: Child) -> None:
    """A child's descriptors are given back with it, and not when garbage is collected some day."""

    class Passed:
        pass

    passed = Passed()
    gone = weakref.ref(passed)

    def call(_: Passed) -> None:
        child.call(eval, 5, "1 / 0")

    gc.disable()
    try:
        with contextlib.suppress(ZeroDivisionError):
            call(passed)
        del passed
        assert gone() is None
    finally:
        gc.enable()
