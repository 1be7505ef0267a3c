"""What most tests stand on: a database of its own for each test, a folder for bytes, a queue over both."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from database.engine import Database
from database.migrate import upgrade
from queue_manager import QueueManager
from storage.local import LocalStorage
from tests.queues import LIMITS, Clock


def pytest_sessionstart() -> None:
    # A shell that starts the tests in the background has them ignore Ctrl-C, and with them the programs under test.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database; every test that uses it runs on each kind."""
    return f"sqlite:///{tmp_path / 'queue.db'}"


@pytest.fixture
def empty_database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.close()


@pytest.fixture
def database(empty_database: Database) -> Database:
    upgrade(empty_database)
    return empty_database


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path / "data")


@pytest.fixture
def queue(database: Database, storage: LocalStorage, clock: Clock) -> QueueManager:
    return QueueManager(database, storage, LIMITS, lease_seconds=60.0, clock=clock)
