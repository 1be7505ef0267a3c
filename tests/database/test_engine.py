"""Transactions: readers never wait for a writer, writers wait for each other, trouble is an error of ours."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, insert, select, text, update

from database import tables
from database.engine import Database
from database.job_store import JobStore
from database.tables import switches
from errors import DatabaseError
from tests.database.jobs import add_job, counted, recounted


def test_reading_does_not_wait_for_an_open_write_transaction(database: Database, jobs: JobStore) -> None:
    job_id = add_job(jobs)
    with database.write() as connection:
        connection.execute(text("UPDATE jobs SET model = 'changed'"))
        job = jobs.get(job_id)
        assert job is not None
        assert job.model == "u2netp"
        assert jobs.page(None, 10, None).total == 1
    changed = jobs.get(job_id)
    assert changed is not None
    assert changed.model == "changed"


def test_a_read_sees_one_moment(database: Database, jobs: JobStore) -> None:
    how_many = select(func.count()).select_from(tables.jobs)
    with database.read() as connection:
        assert connection.execute(how_many).scalar_one() == 0
        add_job(jobs)
        assert connection.execute(how_many).scalar_one() == 0
    with database.read() as connection:
        assert connection.execute(how_many).scalar_one() == 1


def test_a_writer_of_another_process_waits_for_its_turn(database: Database, database_url: str) -> None:
    # A second Database shares nothing with the first, as in another process.
    other = Database(database_url)
    begun = threading.Event()

    def increment() -> None:
        begun.set()
        with other.write() as connection:
            value = connection.execute(select(switches.c.value)).scalar_one()
            connection.execute(update(switches).values(value=f"{int(value) + 1}"))

    with ThreadPoolExecutor(1) as threads:
        with database.write() as connection:
            connection.execute(insert(switches).values(name="number", value="1"))
            waiting = threads.submit(increment)
            begun.wait()
            connection.execute(update(switches).values(value="10"))
        waiting.result()
    with database.read() as connection:
        assert connection.execute(select(switches.c.value)).scalar_one() == "11"
    other.close()


def test_a_failed_transaction_leaves_nothing(database: Database) -> None:
    def begin_and_fail() -> None:
        with database.write() as connection:
            connection.execute(insert(switches).values(name="number", value="1"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        begin_and_fail()
    with database.read() as connection:
        assert connection.execute(select(switches)).all() == []


def test_many_threads_write_and_read_at_once(database: Database, jobs: JobStore) -> None:
    def submit_and_look(_: int) -> None:
        assert jobs.get(add_job(jobs)) is not None

    with ThreadPoolExecutor(40) as threads:
        list(threads.map(submit_and_look, range(80)))
    assert counted(database) == recounted(database) == {"jobs.pending": 80, "files.pending": 80}


def test_a_statement_that_the_database_refuses_is_an_error_of_ours(database: Database) -> None:
    with pytest.raises(DatabaseError, match="no_such_table"), database.read() as connection:
        connection.execute(text("SELECT * FROM no_such_table"))


def test_reads_inside_a_read_see_its_moment_and_those_after_it_a_new_one(database: Database, jobs: JobStore) -> None:
    with ThreadPoolExecutor(1) as elsewhere, database.read():
        assert jobs.page(None, 10, None).total == 0
        job_id = elsewhere.submit(add_job, jobs).result()
        assert jobs.get(job_id) is None
        assert elsewhere.submit(jobs.get, job_id).result() is not None
    assert jobs.get(job_id) is not None


def test_a_read_that_failed_leaves_no_view_behind(database: Database, jobs: JobStore) -> None:
    with pytest.raises(ZeroDivisionError), database.read():
        raise ZeroDivisionError
    assert jobs.get(add_job(jobs)) is not None
