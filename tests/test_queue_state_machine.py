"""Whatever is done to a queue, in whatever order, it does what a small model of it does; see tests/state_model.py.

An ordinary run takes some 2,000 steps, always the same. STATE_MACHINE_STEPS=10000 takes so many, by chance.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import func, select

from database import changes, file_store
from database.engine import Database
from database.migrate import upgrade
from database.tables import counters, job_files, jobs
from errors import IllegalTransition, JobExpired, LeaseLost, QueueFull
from job import FILE_TRANSITIONS, TRANSITIONS, JobStatus, Lease, Outcome, Priority, WorkerState, timestamp, utc_now
from queue_manager import QueueManager
from retention import SILENT_WORKER
from storage.local import LocalStorage
from submission import Limits
from tests.pictures import encode, ramp
from tests.queues import put_result
from tests.state_model import LEASE, Model, ModelFile

STEPS = int(os.environ.get("STATE_MACHINE_STEPS", "0"))
STEPS_OF_A_RUN = 100
ORDINARY_RUNS, RUNS_AT_ONCE = 20, 50
# Small numbers, so that a short run reaches what otherwise takes days.
MAX_LOST_LEASES = 3
MAX_PENDING_FILES = 8
RETENTION_DAYS = 7
PICTURE = encode(ramp(4, 4), "PNG")
LIMITS = Limits(10, 10_000, 100_000, 1_000_000, MAX_PENDING_FILES, 0)
MACHINES = ("left", "right")
FIRST_TO_LAST = [Priority.HIGH, Priority.NORMAL, Priority.LOW]


class QueueMachine(RuleBasedStateMachine):
    """Every step does the same to a real queue and to the model, and then compares the two."""

    jobs = Bundle("jobs")
    leases = Bundle("leases")
    template: Path
    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir=self.template.parent))
        shutil.copy(self.template, self.folder / "queue.db")
        self.database = Database(f"sqlite:///{self.folder / 'queue.db'}", "NORMAL")
        self.storage = LocalStorage(self.folder / "data")
        self.storage.root.mkdir()
        self.now = datetime(2026, 11, 1, 12, 0, 0, 123456, UTC)
        self.queue = QueueManager(self.database, self.storage, LIMITS, LEASE.total_seconds(), clock=lambda: self.now)
        self.model = Model(MAX_LOST_LEASES)
        self.workers = {machine: f"{machine}-0" for machine in MACHINES}
        self.heard: dict[str, datetime] = {}
        self.deaths = 0
        for machine in MACHINES:
            self.queue.take_over(self.report(machine))
        self.seen: dict[str | int, JobStatus] = {}

    def teardown(self) -> None:
        self.database.close()
        shutil.rmtree(self.folder)

    def report(self, machine: str) -> WorkerState:
        worker, now = self.workers[machine], timestamp(self.now)
        self.heard[worker] = self.now
        return WorkerState(worker, machine, 1, now, now, "running", 0, 2, {})

    def holder(self, lease: Lease) -> ModelFile | None:
        """The model's file when this lease is the one that counts."""
        file = self.model.file(lease.file.job_id, lease.file.position)
        return file if file is not None and file.token == lease.token else None

    @initialize(target=leases)
    def begin_with_work_in_hand(self) -> object:
        self.submit(3, Priority.NORMAL)
        return self.claim("left", 2)

    # --- clients ----------------------------------------------------------------------------------------------

    @rule(target=jobs, count=st.integers(1, 4), priority=st.sampled_from(Priority))
    def submit(self, count: int, priority: Priority) -> object:
        pictures = [(f"{number}.png", PICTURE) for number in range(count)]
        if self.model.pending() + count > MAX_PENDING_FILES:
            with pytest.raises(QueueFull):
                self.queue.create_job(pictures, "u2netp", priority=priority)
            return multiple()
        job_id = self.queue.create_job(pictures, "u2netp", priority=priority)
        self.model.submit(job_id, count, FIRST_TO_LAST.index(priority), self.now)
        return job_id

    @rule(job_id=jobs, force=st.booleans())
    def cancel(self, job_id: str, force: bool) -> None:
        job = self.model.jobs.get(job_id)
        if job is None:
            with pytest.raises(JobExpired):
                self.queue.cancel_job(job_id, force)
        elif job.status is JobStatus.PENDING or (force and job.status is JobStatus.PROCESSING):
            self.queue.cancel_job(job_id, force)
            self.model.cancel(job, self.now)
        elif job.status is JobStatus.CANCELLED:
            self.queue.cancel_job(job_id, force)
        else:
            with pytest.raises(IllegalTransition):
                self.queue.cancel_job(job_id, force)

    @rule(job_id=jobs)
    def retry(self, job_id: str) -> None:
        job = self.model.jobs.get(job_id)
        if job is None:
            with pytest.raises(JobExpired):
                self.queue.retry_job(job_id)
        elif job.status in (JobStatus.FAILED, JobStatus.COMPLETED) and job.count(JobStatus.FAILED):
            self.queue.retry_job(job_id)
            self.model.retry(job, self.now)
        else:
            with pytest.raises(IllegalTransition):
                self.queue.retry_job(job_id)

    @rule(paused=st.booleans())
    def pause(self, paused: bool) -> None:
        self.queue.set_paused(paused)
        self.model.paused = paused

    # --- workers ----------------------------------------------------------------------------------------------

    @rule(target=leases, machine=st.sampled_from(MACHINES), limit=st.integers(1, 4))
    def claim(self, machine: str, limit: int) -> object:
        return multiple(*self.take(machine, limit))

    def take(self, machine: str, limit: int) -> list[Lease]:
        worker = self.workers[machine]
        claimed = self.queue.claim(worker, limit)
        wanted = self.model.claimable(limit, self.now)
        assert [(lease.file.job_id, lease.file.position) for lease in claimed] == [
            (file.job_id, file.position) for file in wanted
        ]
        for lease, file in zip(claimed, wanted, strict=True):
            self.model.claim(file, lease.token, worker, self.now)
        return claimed

    @rule(machine=st.sampled_from(MACHINES), held=st.lists(leases, max_size=5))
    def heartbeat(self, machine: str, held: list[Lease]) -> None:
        mine = [file for file in map(self.holder, held) if file is not None]
        owned = {lease.file.id for lease in held if self.holder(lease) is not None}
        # The same file may be in the list under an old and under a new token; only the newer one counts.
        assert self.queue.heartbeat(self.report(machine), held) == owned
        for file in mine:
            file.expires = self.now + LEASE

    @rule(lease=leases)
    def complete(self, lease: Lease) -> None:
        content = lease.token.encode()
        put_result(self.storage, lease, content)
        digest = hashlib.sha256(content).hexdigest()
        outcome = Outcome(lease.output_key, len(content), digest, "image/png", "png", 4, 4, 0.1)
        file = self.holder(lease)
        if file is None:
            with pytest.raises(LeaseLost):
                self.queue.complete(lease, outcome)
            return
        self.queue.complete(lease, outcome)
        file.attempts, file.winner = file.attempts + 1, lease.token
        file.end(JobStatus.COMPLETED)
        self.model.note_end(file.job_id, self.now)

    @rule(lease=leases)
    def fail(self, lease: Lease) -> None:
        file = self.holder(lease)
        if file is None:
            with pytest.raises(LeaseLost):
                self.queue.fail(lease, "broken_picture", "It is damaged.")
            return
        self.queue.fail(lease, "broken_picture", "It is damaged.")
        file.attempts += 1
        file.end(JobStatus.FAILED)
        self.model.note_end(file.job_id, self.now)

    @rule(lease=leases, delay=st.sampled_from([0.0, 5.0, 300.0]))
    def retry_later(self, lease: Lease, delay: float) -> None:
        file = self.holder(lease)
        if file is None:
            with pytest.raises(LeaseLost):
                self.queue.retry_later(lease, "child_died", "The process died.", delay)
            return
        self.queue.retry_later(lease, "child_died", "The process died.", delay)
        file.attempts, file.available_at = file.attempts + 1, self.now + timedelta(seconds=delay)
        file.put_back()

    @rule(machine=st.sampled_from(MACHINES), good=st.lists(st.booleans(), min_size=4, max_size=4))
    def work_off(self, machine: str, good: list[bool]) -> None:
        """What a worker does when nothing goes wrong; by the steps above alone, few jobs would ever end."""
        leases = self.take(machine, 4)
        self.only_legal_transitions()
        for lease, succeeds in zip(leases, good, strict=False):
            if succeeds:
                self.complete(lease)
            else:
                self.fail(lease)
            self.only_legal_transitions()

    @rule(given=st.lists(leases, max_size=3))
    def release(self, given: list[Lease]) -> None:
        self.queue.release(given)
        for file in map(self.holder, given):
            if file is not None:
                file.put_back()

    @rule(machine=st.sampled_from(MACHINES))
    def die_and_be_replaced(self, machine: str) -> None:
        dead = {worker for worker in self.heard if worker.startswith(machine)}
        self.deaths += 1
        self.workers[machine] = f"{machine}-{self.deaths}"
        self.queue.take_over(self.report(machine))
        self.model.free_dead(dead, self.now)
        for worker in dead:
            del self.heard[worker]

    # --- time -------------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([1, 61, 3600, -3600]))
    def wait(self, seconds: int) -> None:
        """An hour back is a clock that somebody has set."""
        self.now += timedelta(seconds=seconds)

    @rule()
    def expire_leases(self) -> None:
        self.queue.expire_leases()
        self.model.free_silent(self.now)

    @rule(days=st.sampled_from([0, 8]))
    def cleanup(self, days: int) -> None:
        self.now += timedelta(days=days)
        expected = self.model.expire(self.now - timedelta(days=RETENTION_DAYS))
        assert self.queue.cleanup_old_jobs(RETENTION_DAYS) == expected
        late = self.now - SILENT_WORKER
        self.heard = {worker: moment for worker, moment in self.heard.items() if moment >= late}

    @rule()
    def sweep(self) -> None:
        assert self.queue.sweep_orphans(timedelta(days=-365)) == 0

    # --- what must hold ---------------------------------------------------------------------------------------

    @invariant()
    def files_are_as_in_the_model(self) -> None:
        QueueMachine.steps += 1
        with self.database.read() as connection:
            rows = connection.execute(select(job_files).order_by(job_files.c.id)).all()
        files = self.model.files
        assert [(row.job_id, row.position) for row in rows] == [(file.job_id, file.position) for file in files]
        for row, file in zip(rows, files, strict=True):
            assert (row.status, row.attempts, row.lost_leases) == (file.status, file.attempts, file.lost_leases)
            assert row.lease_token == file.token
            assert row.lease_expires_at == (file.expires and timestamp(file.expires))
            if file.status is JobStatus.COMPLETED:
                assert self.storage.get(row.output_key) == str(file.winner).encode(), "published once, by the holder"

    @invariant()
    def jobs_are_as_in_the_model(self) -> None:
        with self.database.read() as connection:
            rows = {row.id: row for row in connection.execute(select(jobs))}
        assert rows.keys() == self.model.jobs.keys()
        for job in self.model.jobs.values():
            row = rows[job.id]
            assert row.status == job.status
            assert row.processed_files == job.count(JobStatus.COMPLETED)
            assert row.failed_files == job.count(JobStatus.FAILED)
            assert row.completed_at == (job.ended_at and timestamp(job.ended_at))
            assert (row.results is None) == (not job.status.ended)

    @invariant()
    def only_legal_transitions(self) -> None:
        with self.database.read() as connection:
            of_jobs = connection.execute(select(jobs.c.id, jobs.c.status)).all()
            of_files = connection.execute(select(job_files.c.id, job_files.c.status)).all()
        for job_id, status in of_jobs:
            self.moved(job_id, JobStatus(status), TRANSITIONS)
        for file_id, status in of_files:
            self.moved(file_id, JobStatus(status), FILE_TRANSITIONS)

    def moved(self, key: str | int, status: JobStatus, legal: Mapping[JobStatus, frozenset[JobStatus]]) -> None:
        before = self.seen.get(key, JobStatus.PENDING)
        assert status is before or status in legal[before], f"{key}: from {before} to {status}"
        self.seen[key] = status

    @invariant()
    def counters_equal_a_recount(self) -> None:
        with self.database.read() as connection:
            kept = {row.name: row.value for row in connection.execute(select(counters)) if row.name != changes.COUNTER}
            counted: dict[str, int] = {}
            for name, table in (("jobs", jobs), ("files", job_files)):
                grouped = select(table.c.status, func.count()).group_by(table.c.status)
                counted |= {f"{name}.{status}": number for status, number in connection.execute(grouped)}
        assert {name: value for name, value in kept.items() if value} == counted

    @invariant()
    def bytes_are_there_and_no_others(self) -> None:
        files = self.model.files
        uploads = {f"uploads/{f.job_id}/{f.position}" for f in files if f.status is not JobStatus.CANCELLED}
        outputs = [f"results/{f.job_id}/{f.position}-{f.winner}" for f in files if f.winner is not None]
        results = {output + kind for output in outputs for kind in ("", ".input", ".result")}
        assert set(self.storage.keys(utc_now() + timedelta(days=1))) == uploads | results


@pytest.fixture
def template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty database of this code's schema, made once and copied for every run."""
    monkeypatch.setattr(file_store, "MAX_LOST_LEASES", MAX_LOST_LEASES)
    path = tmp_path / "template.db"
    database = Database(f"sqlite:///{path}")
    upgrade(database)
    database.close()
    monkeypatch.setattr(QueueMachine, "template", path, raising=False)


def run(runs: int, derandomize: bool) -> None:
    run_state_machine_as_test(
        QueueMachine,
        settings=settings(
            max_examples=runs,
            stateful_step_count=STEPS_OF_A_RUN,
            derandomize=derandomize,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.usefixtures("template")
def test_the_queue_does_what_the_model_does() -> None:
    QueueMachine.steps = 0
    if STEPS == 0:
        run(ORDINARY_RUNS, derandomize=True)
    while QueueMachine.steps < STEPS:
        run(RUNS_AT_ONCE, derandomize=False)
    print(f"{QueueMachine.steps} steps")
