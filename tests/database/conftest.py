import pytest

from database.act_store import ActStore
from database.engine import Database
from database.file_store import FileStore
from database.job_store import JobStore
from database.worker_store import WorkerStore


@pytest.fixture
def jobs(database: Database) -> JobStore:
    return JobStore(database)


@pytest.fixture
def files(database: Database) -> FileStore:
    return FileStore(database)


@pytest.fixture
def workers(database: Database) -> WorkerStore:
    return WorkerStore(database)


@pytest.fixture
def acts(database: Database) -> ActStore:
    return ActStore(database)
