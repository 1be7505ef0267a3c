"""A database of the version before opens and keeps its jobs, whatever they were doing when it was stopped."""

import json
import subprocess
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest
import requests
from alembic import command
from sqlalchemy import text

from database.engine import Database
from database.migrate import HEAD, configuration, current_revision, upgrade
from job import JobStatus, Priority, utc_now
from queue_manager import QueueManager
from storage.local import LocalStorage
from tests.database.jobs import contradictions, counted, recounted
from tests.database.test_migrations import EARLIER_JOBS, EARLIER_TABLE, differences
from tests.queues import CUTOUT, LIMITS, PICTURE, finish
from tests.service import ROOT, SAMPLES, free_port, running

# As version 0001 wrote them: two jobs that had not ended, three that had, and one of the service before that.
BEGUN, ENDED = "2026-11-20T10:00:00.000001Z", "2026-11-20T10:00:09.500000Z"
JOBS: Mapping[str, tuple[str, ...]] = {
    "waiting": ("pending", "pending"),
    "running": ("completed", "failed", "processing", "pending"),
    "good": ("completed", "failed"),
    "bad": ("failed",),
    "stopped": ("completed", "cancelled"),
    "adopted": (),
}
STATES = {
    "waiting": "pending",
    "running": "processing",
    "good": "completed",
    "bad": "failed",
    "stopped": "cancelled",
    "adopted": "failed",
}


def job_row(job_id: str) -> dict[str, object]:
    states, ended = JOBS[job_id], STATES[job_id] not in ("pending", "processing")
    return {
        "id": job_id,
        "status": STATES[job_id],
        "created_at": BEGUN,
        "started_at": None if job_id == "waiting" else BEGUN,
        "completed_at": ENDED if ended else None,
        "job_type": "single" if len(states) == 1 else "batch",
        "filenames": json.dumps([f"{n}.png" for n in range(len(states) or 1)]),
        "total_files": len(states) or 1,
        "processed_files": states.count("completed"),
        "failed_files": states.count("failed"),
        "model": "u2netp",
        "error_message": "It is damaged." if STATES[job_id] == "failed" else None,
        "results": "[]" if ended else None,
        "metadata": '{"customer": "shop"}',
        "operation": "remove_background",
    }


def file_row(job_id: str, position: int) -> dict[str, object]:
    state = JOBS[job_id][position]
    leased, done = state == "processing", state == "completed"
    return {
        "job_id": job_id,
        "position": position,
        "filename": f"{position}.png",
        "status": state,
        "operation": "remove_background",
        "model": "u2netp",
        "params": '{"model": "u2netp"}',
        "attempts": 0 if state == "pending" else 1,
        "available_at": BEGUN,
        "lease_token": "t" if leased else None,
        "lease_expires_at": ENDED if leased else None,
        "worker_id": "here/1-a" if leased else None,
        "input_key": f"uploads/{job_id}/{position}",
        "input_bytes": len(PICTURE),
        "input_sha256": "ab" * 32,
        "input_format": "png",
        "output_key": f"results/{job_id}/{position}-t" if done else None,
        "output_bytes": len(CUTOUT) if done else None,
        "error_message": "It is damaged." if state == "failed" else None,
    }


def insert(database: Database, table: str, rows: list[dict[str, object]]) -> None:
    names = list(rows[0])
    with database.write() as connection:
        connection.execute(
            text(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join(f':{name}' for name in names)})"), rows
        )


@pytest.fixture
def old_database(empty_database: Database) -> Database:
    with empty_database.write() as connection:
        command.upgrade(configuration(connection), "0001")
    insert(empty_database, "jobs", [job_row(job_id) for job_id in JOBS])
    files = [file_row(job_id, position) for job_id, states in JOBS.items() for position in range(len(states))]
    insert(empty_database, "job_files", files)
    counts = [{"name": name, "value": count} for name, count in recounted(empty_database).items()]
    insert(empty_database, "counters", counts)
    insert(empty_database, "switches", [{"name": "paused", "value": "true"}])
    insert(empty_database, "expired_jobs", [{"id": "long-gone", "expired_at": BEGUN}])
    return empty_database


@pytest.fixture
def queue(old_database: Database, storage: LocalStorage) -> QueueManager:
    """The new code over the old database and its bytes."""
    upgrade(old_database)
    for job_id, states in JOBS.items():
        for position, state in enumerate(states):
            storage.put(f"uploads/{job_id}/{position}", PICTURE)
            if state == "completed":
                storage.put(f"results/{job_id}/{position}-t", CUTOUT)
    return QueueManager(old_database, storage, LIMITS)


def test_it_has_the_tables_of_the_code(old_database: Database) -> None:
    before = counted(old_database)
    upgrade(old_database)
    assert differences(old_database) == []
    with old_database.read() as connection:
        assert current_revision(connection) == HEAD
    assert counted(old_database) == recounted(old_database) == before


def test_every_job_is_as_it_was(queue: QueueManager) -> None:
    listed = {job.id: job for job in queue.list_jobs(None, 100).jobs}
    assert {job_id: str(job.status) for job_id, job in listed.items()} == STATES
    assert {job.priority for job in listed.values()} == {Priority.NORMAL}
    for job_id, job in listed.items():
        row = job_row(job_id)
        assert (job.created_at, job.completed_at, job.error_message, job.metadata) == (
            row["created_at"],
            row["completed_at"],
            row["error_message"],
            {"customer": "shop"},
        )
    assert queue.result("good", 0).output_key == "results/good/0-t"
    assert queue.is_paused()


def test_what_had_not_ended_goes_on_where_it_was(queue: QueueManager) -> None:
    queue.set_paused(False)
    queue.expire_leases()
    leases = queue.claim("new/1-b", 100)
    assert [(lease.file.job_id, lease.file.position) for lease in leases] == [
        ("waiting", 0),
        ("waiting", 1),
        ("running", 2),
        ("running", 3),
    ]
    for lease in leases:
        finish(queue, lease)
    assert queue.job("waiting").status is queue.job("running").status is JobStatus.COMPLETED
    # A job of the service before that says how many files it had, and none of them is here.
    assert contradictions(queue.database) == ["failed job adopted: total_files"]


def test_the_lease_of_the_old_worker_is_still_its_own(queue: QueueManager) -> None:
    """Two services may overlap during an upgrade of the code."""
    old = queue._jobs.file("running", 2)
    assert old is not None
    assert (old.status, old.lease_token) == (JobStatus.PROCESSING, "t")


def test_failed_files_of_then_can_be_retried_now(queue: QueueManager) -> None:
    for job_id in ("good", "bad"):
        assert queue.retry_job(job_id).status is JobStatus.PENDING


def test_retention_goes_on_counting_and_forgets_nobody(queue: QueueManager) -> None:
    """The job of the service before that may have ended long ago: it stays for one more period."""
    assert queue.cleanup_old_jobs(days=1 / 24 / 60) == 3
    assert {job.id for job in queue.list_jobs(None, 100).jobs} == {"waiting", "running", "adopted"}
    now = utc_now()
    count, _ = queue._jobs.expire(now, now + timedelta(seconds=1), 100)
    assert count == 1


def test_new_jobs_stand_behind_the_old_ones(queue: QueueManager) -> None:
    job_id = queue.create_job([("a.png", PICTURE)], model="u2netp")
    assert queue.position(queue.job(job_id)) == 4


def test_a_service_of_today_takes_over_the_database_of_the_earlier_one(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'queue.db'}")
    with database.write() as connection:
        connection.execute(text(EARLIER_TABLE))
    insert(database, "jobs", list(EARLIER_JOBS))
    database.close()
    with running(tmp_path) as service:
        service.wait_until("/ready")
        listed = requests.get(f"{service.url}/queue/jobs", timeout=10).json()
        assert listed["total"] == len(EARLIER_JOBS)
        for job in listed["jobs"]:
            assert service.job(job["id"])["completed_at"] is not None
        job_id = service.submit([(SAMPLES[0].name, SAMPLES[0].read_bytes())])
        assert service.wait_for(job_id)["status"] == "completed"


@pytest.mark.parametrize("arguments", [["-m", "uvicorn", "app:app", "--port", "0"], ["app.py"]], ids=["uvicorn", "app"])
def test_a_newer_database_is_refused_with_a_sentence(tmp_path: Path, arguments: list[str]) -> None:
    database = Database(f"sqlite:///{tmp_path / 'queue.db'}")
    upgrade(database)
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0099'"))
    database.close()
    environment = {"QUEUE_DATA_DIR": str(tmp_path), "PATH": "/usr/bin:/bin", "PORT": str(free_port())}
    command = [sys.executable, *arguments]
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode != 0
    assert "The service cannot start. The database has schema 0099" in ended.stderr
    assert "install that version, or use another data directory." in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "Open http" not in ended.stdout
