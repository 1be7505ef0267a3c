"""Claiming: in order, each file by one worker only, in one statement that stays quick in a long history."""

import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Select, Update, event, insert, make_url, text

from database.engine import Database
from database.file_store import FileStore, claim_statement, moments
from database.job_store import JobStore, old_jobs, page_statement, states_of
from database.tables import job_files
from job import JobFile, JobStatus, timestamp
from retention import EXPIRE_BATCH
from tests.database.jobs import LEASE_SECONDS, NOW, add_job, counted

ROOT = Path(__file__).parents[2]


def claim(files: FileStore, limit: int = 100, token: str = "token", excluded: Sequence[str] = ()) -> list[JobFile]:
    return files.claim(NOW, limit, "worker-1", token, LEASE_SECONDS, excluded)


def test_files_are_claimed_in_the_order_of_submission(jobs: JobStore, files: FileStore) -> None:
    order = [(add_job(jobs, count), count) for count in (2, 1, 3)]
    expected = [(job_id, position) for job_id, count in order for position in range(count)]
    claimed = [*claim(files, 1), *claim(files, 4), *claim(files, 4)]
    assert [(file.job_id, file.position) for file in claimed] == expected


def test_no_more_is_claimed_than_asked_for(jobs: JobStore, files: FileStore) -> None:
    add_job(jobs, 5)
    assert [len(claim(files, 2)) for _ in range(4)] == [2, 2, 1, 0]


def test_a_claimed_file_is_processing_under_the_token(jobs: JobStore, files: FileStore) -> None:
    job_id = add_job(jobs)
    (claimed,) = claim(files, token="mine")
    assert (claimed.job_id, claimed.status, claimed.lease_token) == (job_id, JobStatus.PROCESSING, "mine")
    assert jobs.file(job_id, 0) == claimed


def test_the_first_claim_starts_the_job(jobs: JobStore, files: FileStore) -> None:
    job_id = add_job(jobs, 2)
    claim(files, 1)
    job = jobs.get(job_id)
    assert job is not None
    assert (job.status, job.started_at) == (JobStatus.PROCESSING, timestamp(NOW))
    files.claim(NOW + timedelta(minutes=1), 1, "worker-1", "later", LEASE_SECONDS)
    assert jobs.get(job_id) == job


def test_files_of_excluded_models_are_left_for_later(jobs: JobStore, files: FileStore) -> None:
    add_job(jobs, model="u2net")
    wanted = add_job(jobs, model="u2netp")
    add_job(jobs, model="silueta")
    assert [file.job_id for file in claim(files, excluded=("u2net", "silueta"))] == [wanted]
    assert [file.model for file in claim(files)] == ["u2net", "silueta"]


def test_a_file_that_waits_for_a_retry_is_overtaken(jobs: JobStore, files: FileStore) -> None:
    first, second = add_job(jobs), add_job(jobs)
    (claimed,) = claim(files, 1)
    files.retry_later(NOW, claimed.id, "token", "timeout", "It took too long.", 30)
    assert [file.job_id for file in claim(files)] == [second]
    assert not files.any_available(NOW + timedelta(seconds=29), ())
    assert files.any_available(NOW + timedelta(seconds=30), ())
    again = files.claim(NOW + timedelta(seconds=30), 5, "worker-1", "again", LEASE_SECONDS)
    assert [(file.job_id, file.attempts) for file in again] == [(first, 1)]


def test_a_clock_that_was_set_back_does_not_hide_files(jobs: JobStore, files: FileStore) -> None:
    job_id = add_job(jobs, now=NOW + timedelta(days=30))
    assert files.any_available(NOW, ())
    assert [file.job_id for file in claim(files)] == [job_id]


def test_an_empty_queue_has_nothing_to_claim(database: Database, files: FileStore) -> None:
    assert not files.any_available(NOW, ())
    assert claim(files) == []
    assert counted(database) == {}


def test_threads_never_claim_the_same_file(database: Database, jobs: JobStore, files: FileStore) -> None:
    for _ in range(20):
        add_job(jobs, 6)

    def work(name: int) -> list[int]:
        mine: list[int] = []
        while claimed := claim(files, 3, f"token-{name}"):
            mine += [file.id for file in claimed]
        return mine

    with ThreadPoolExecutor(12) as threads:
        claimed = [file_id for mine in threads.map(work, range(12)) for file_id in mine]
    assert len(claimed) == len(set(claimed)) == 120
    assert counted(database) == {"files.processing": 120, "jobs.processing": 20}


def test_processes_never_claim_the_same_file(database: Database, database_url: str, jobs: JobStore) -> None:
    for _ in range(20):
        add_job(jobs, 6)
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.database.claim_until_empty", database_url],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    printed = [worker.communicate(timeout=60)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    claimed = [int(file_id) for output in printed for file_id in output.split()]
    assert len(claimed) == len(set(claimed)) == 120
    assert counted(database) == {"files.processing": 120, "jobs.processing": 20}


# --- the SQL ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("excluded", [(), ("u2net",)], ids=["any model", "excluded models"])
def test_the_claim_picks_once_on_both_databases(excluded: Sequence[str]) -> None:
    statement = claim_statement(frozenset(excluded))
    on_sqlite, on_postgresql = (
        str(statement.compile(dialect=make_url(url).get_dialect()())) for url in ("sqlite://", "postgresql://")
    )
    for compiled in (on_sqlite, on_postgresql):
        assert "WITH picked AS MATERIALIZED" in " ".join(compiled.split())
        # Not a parameter: a planner that does not see the word may pass by the index of pending files.
        assert "status = 'pending'" in compiled
    assert "FOR UPDATE SKIP LOCKED" in on_postgresql
    assert "FOR UPDATE" not in on_sqlite


def plan(database: Database, statement: Select[*tuple[Any, ...]] | Update, parameters: dict[str, object]) -> str:
    """Run a statement, then have the database say how it did."""
    ran: list[tuple[str, Any]] = []

    def note(_connection: object, _cursor: object, sql: str, given: object, *_: object) -> None:
        ran.append((sql, given))

    with database.write() as connection:
        event.listen(connection, "before_cursor_execute", note)
        connection.execute(statement, parameters).all()
        ((sql, given),) = ran
        rows = connection.exec_driver_sql(("EXPLAIN QUERY PLAN " if database.is_sqlite else "EXPLAIN ") + sql, given)
        return "\n".join(" ".join(str(column) for column in row) for row in rows)


@pytest.fixture
def long_history(database: Database, jobs: JobStore, files: FileStore) -> Database:
    """Many finished files and a few that wait, with the statistics that a planner looks at."""
    add_job(jobs)
    (done,) = claim(files)
    with database.write() as connection:
        row = dict(connection.execute(job_files.select()).mappings().one())
        row |= {"status": JobStatus.COMPLETED, "lease_token": None, "lease_expires_at": None}
        copies = [row | {"id": done.id + n, "position": n} for n in range(1, 3000)]
        connection.execute(insert(job_files), copies)
        connection.execute(text("ANALYZE"))
    for _ in range(3):
        add_job(jobs)
    return database


@pytest.mark.parametrize("excluded", [(), ("u2net",)], ids=["any model", "excluded models"])
def test_the_claim_walks_the_index_of_pending_files(long_history: Database, excluded: Sequence[str]) -> None:
    parameters = moments(NOW) | {"limit": 2, "token": "t", "worker": "w", "expires": timestamp(NOW)}
    told = plan(long_history, claim_statement(frozenset(excluded)), parameters)
    assert "ix_job_files_pending" in told
    if long_history.is_sqlite:
        assert "MATERIALIZE picked" in told
        assert "TEMP B-TREE" not in told


def test_the_claim_of_a_new_database_walks_the_same_index(database: Database) -> None:
    parameters = moments(NOW) | {"limit": 2, "token": "t", "worker": "w", "expires": timestamp(NOW)}
    assert "ix_job_files_pending" in plan(database, claim_statement(frozenset()), parameters)


def test_retention_walks_the_index_of_ends(database: Database) -> None:
    told = plan(database, old_jobs(NOW).limit(50), {})
    assert "ix_jobs_kept" in told


def test_retention_reads_the_states_of_its_jobs_by_their_ids(database: Database) -> None:
    ids = [str(number) for number in range(EXPIRE_BATCH)]
    assert "jobs_1 (id=?)" in plan(database, states_of(ids), {})


@pytest.mark.parametrize("goes_on", [False, True], ids=["first page", "next page"])
@pytest.mark.parametrize("of_one_state", [False, True], ids=["all", "one state"])
def test_a_page_walks_an_index_in_order(database: Database, of_one_state: bool, goes_on: bool) -> None:
    given = {"state": JobStatus.COMPLETED, "created_at": "2026", "id": "a", "limit": 21}
    told = plan(database, page_statement(of_one_state, goes_on), given)
    assert ("ix_jobs_status_created" if of_one_state else "ix_jobs_created") in told
    assert "TEMP B-TREE" not in told
