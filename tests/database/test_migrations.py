"""A database comes to this code's schema, whatever it was before and however many processes start at once."""

import json
import subprocess
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import insert, text
from sqlalchemy.exc import IntegrityError

from database.engine import Database
from database.job_store import JobStore
from database.migrate import HEAD, configuration, current_revision, upgrade
from database.tables import job_files, metadata
from errors import DatabaseError, DatabaseTooNew
from job import JobStatus, utc_now
from tests.database.jobs import add_job, contradictions, counted, recounted

ROOT = Path(__file__).parents[2]
# As the earlier service made it, with no version beside it.
EARLIER_TABLE = """
CREATE TABLE jobs (
    id TEXT PRIMARY KEY, status TEXT NOT NULL, created_at TEXT NOT NULL, started_at TEXT, completed_at TEXT,
    job_type TEXT NOT NULL, filenames TEXT, total_files INTEGER, processed_files INTEGER DEFAULT 0,
    failed_files INTEGER DEFAULT 0, model TEXT, error_message TEXT, results TEXT, metadata TEXT
)
"""


def earlier_job(job_id: str, status: str, **columns: object) -> dict[str, object]:
    return {
        "id": job_id,
        "status": status,
        "created_at": "2025-03-01T10:00:00.123456",
        "started_at": None,
        "completed_at": None,
        "job_type": "batch",
        "filenames": '["a.jpg", "b.jpg"]',
        "total_files": 2,
        "processed_files": 0,
        "failed_files": 0,
        "model": "u2net",
        "error_message": None,
        "results": None,
        "metadata": None,
    } | columns


EARLIER_JOBS = (
    earlier_job(
        "finished",
        "completed",
        started_at="2025-03-01T10:00:01",
        completed_at="2025-03-01 10:00:05.5",
        processed_files=2,
        results='[{"filename": "a.jpg", "output": "a.png"}]',
        metadata='{"customer": "shop"}',
    ),
    earlier_job("with-zone", "failed", completed_at="2025-03-01T10:00:02.000001Z", error_message="No such model"),
    earlier_job("cancelled", "cancelled", completed_at="2025-03-01T10:00:02.000001+00:00"),
    earlier_job("waiting", "pending"),
    earlier_job("begun", "processing", started_at="2025-03-01T10:00:01", processed_files=1),
    earlier_job("odd", "completed", created_at="1 March 2025", filenames="a.jpg", results="{not json", metadata="[1]"),
)


@pytest.fixture
def earlier_database(empty_database: Database) -> Database:
    columns = ", ".join(EARLIER_JOBS[0])
    values = ", ".join(f":{name}" for name in EARLIER_JOBS[0])
    with empty_database.write() as connection:
        connection.execute(text(EARLIER_TABLE))
        connection.execute(text(f"INSERT INTO jobs ({columns}) VALUES ({values})"), EARLIER_JOBS)
    return empty_database


def differences(database: Database) -> list[str]:
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        found = [str(difference) for difference in compare_metadata(context, metadata)]
    # To SQLite the earlier table's primary key may be NULL, and cannot be told otherwise.
    return [difference for difference in found if "('modify_nullable', None, 'jobs', 'id'" not in difference]


def test_migrations_make_exactly_the_tables_that_the_code_uses(database: Database) -> None:
    assert differences(database) == []


def test_a_table_of_the_earlier_service_becomes_the_one_that_the_code_uses(earlier_database: Database) -> None:
    upgrade(earlier_database)
    assert differences(earlier_database) == []


def test_head_is_the_newest_script() -> None:
    assert ScriptDirectory.from_config(configuration()).get_heads() == [HEAD]


def test_a_second_upgrade_changes_nothing(database: Database, jobs: JobStore) -> None:
    job_id = add_job(jobs)
    upgrade(database)
    job = jobs.get(job_id)
    assert job is not None
    assert job.status is JobStatus.PENDING


def test_file_ids_are_never_used_again(database: Database, jobs: JobStore) -> None:
    job_id = add_job(jobs, count=3)
    highest = max(file.id for file in jobs.files(job_id))
    with database.write() as connection:
        connection.execute(job_files.delete())
    assert min(file.id for file in jobs.files(add_job(jobs))) > highest


def test_a_database_of_a_newer_service_is_refused_untouched(database: Database) -> None:
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseTooNew, match=r"9999.*newer version.*install that version"):
        upgrade(database)
    with database.read() as connection:
        assert current_revision(connection) == "9999"


def test_a_file_that_is_no_database_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "queue.db").write_text("This is a letter, not a database. " * 100)
    database = Database(f"sqlite:///{tmp_path / 'queue.db'}")
    with pytest.raises(DatabaseError, match="not a database"):
        upgrade(database)
    database.close()


def test_finished_jobs_of_the_earlier_service_stay_listed(earlier_database: Database) -> None:
    upgrade(earlier_database)
    jobs = JobStore(earlier_database)
    job = jobs.get("finished")
    assert job is not None
    assert job.status is JobStatus.COMPLETED
    assert job.filenames == ("a.jpg", "b.jpg")
    assert (job.total_files, job.processed_files, job.failed_files) == (2, 2, 0)
    assert job.metadata == {"customer": "shop"}
    assert job.results == ({"filename": "a.jpg", "output": "a.png"},)
    assert {listed.id for listed in jobs.page(None, 100, None).jobs} == {str(job["id"]) for job in EARLIER_JOBS}


@pytest.mark.parametrize(
    ("job_id", "failed_files"), [("waiting", 2), ("begun", 1)], ids=["pending job", "processing job"]
)
def test_unfinished_jobs_of_the_earlier_service_end_failed_with_a_reason(
    earlier_database: Database, job_id: str, failed_files: int
) -> None:
    upgrade(earlier_database)
    job = JobStore(earlier_database).get(job_id)
    assert job is not None
    assert job.status is JobStatus.FAILED
    assert job.error_message is not None
    assert "submit them again" in job.error_message
    assert job.failed_files == failed_files
    assert job.completed_at is not None


def test_times_without_a_zone_are_taken_as_utc(earlier_database: Database) -> None:
    upgrade(earlier_database)
    jobs = JobStore(earlier_database)
    moments: Mapping[str, str | None] = {
        job.id: job.completed_at for job in jobs.page(None, 100, None).jobs if job.id in ("finished", "with-zone")
    }
    assert moments == {"finished": "2025-03-01T10:00:05.500000Z", "with-zone": "2025-03-01T10:00:02.000001Z"}
    cancelled = jobs.get("cancelled")
    assert cancelled is not None
    assert (cancelled.created_at, cancelled.completed_at) == (
        "2025-03-01T10:00:00.123456Z",
        "2025-03-01T10:00:02.000001Z",
    )


def test_columns_that_cannot_be_read_do_not_hide_a_job(earlier_database: Database) -> None:
    upgrade(earlier_database)
    job = JobStore(earlier_database).get("odd")
    assert job is not None
    assert (job.created_at, job.filenames, job.metadata) == ("1 March 2025", (), {})
    assert json.dumps(job.as_row())


def test_adopted_jobs_are_counted(earlier_database: Database) -> None:
    upgrade(earlier_database)
    assert counted(earlier_database) == {"jobs.completed": 2, "jobs.failed": 3, "jobs.cancelled": 1}
    assert counted(earlier_database) == recounted(earlier_database)


def test_an_adopted_database_takes_new_jobs(earlier_database: Database) -> None:
    upgrade(earlier_database)
    jobs = JobStore(earlier_database)
    job_id = add_job(jobs, count=2)
    assert len(jobs.files(job_id)) == 2
    assert counted(earlier_database) == recounted(earlier_database)
    assert [line for line in contradictions(earlier_database) if job_id in line] == []


@pytest.mark.parametrize("beginning", ["nothing", "the earlier service"])
def test_four_processes_migrate_at_once_and_all_succeed(
    database_url: str, request: pytest.FixtureRequest, beginning: str
) -> None:
    if beginning == "the earlier service":
        request.getfixturevalue("earlier_database")
    starters = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.database.migrate_once", database_url],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for starter in starters:
        assert starter.stdout is not None
        assert starter.stdout.readline() == "ready\n"
    for starter in starters:
        assert starter.stdin is not None
        starter.stdin.write("go\n")
        starter.stdin.flush()
    said = [starter.communicate(timeout=60) for starter in starters]
    assert [starter.returncode for starter in starters] == [0] * 4, said
    database = Database(database_url)
    assert differences(database) == []
    assert counted(database) == recounted(database)
    database.close()


def test_every_file_belongs_to_a_job(database: Database, jobs: JobStore) -> None:
    add_job(jobs)
    with database.read() as connection:
        row = dict(connection.execute(job_files.select()).mappings().one())
    with pytest.raises(IntegrityError), database.write() as connection:
        connection.execute(insert(job_files), row | {"id": None, "job_id": "nobody"})


def test_adopted_jobs_stay_for_one_more_retention_period(earlier_database: Database) -> None:
    upgrade(earlier_database)
    store = JobStore(earlier_database)
    count = len(EARLIER_JOBS)
    now = utc_now()
    assert store.expire(now, now - timedelta(days=7), 100) == (0, [])
    assert store.expire(now, now + timedelta(seconds=1), 100) == (count, [])
