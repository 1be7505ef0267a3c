"""Atomic SQL on files, the unit of work: claim, heartbeat, outcome, release. `now` is always an argument."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from functools import cache

from sqlalchemy import ColumnElement, Connection, Select, Update, bindparam, or_, select, update

from database import changes, counting
from database.endings import RESULT, Ended, Ending, completed, count_in_job, end_files, failed
from database.engine import Database
from database.rows import parsed, to_file
from database.tables import IS_COMPLETED, IS_PENDING, IS_PROCESSING, jobs, workers
from database.tables import job_files as files
from errors import HostDied, LeaseLost
from job import JobFile, JobStatus, Outcome, timestamp

# A file whose host dies every time it is worked on must end some day; River and Sidekiq give up at about 20-25 too.
MAX_LOST_LEASES = 20
# Twice what a retry waits at most (retry_policy.py): a file that would wait longer was written under another clock.
LONGEST_WAIT = timedelta(minutes=10)


class FileStore:
    """Rows of `job_files`, and what their changes mean for the job."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def any_available(self, now: datetime, excluded_models: Collection[str]) -> bool:
        """Whether a claim could find something; a read, so that an idle worker never writes."""
        with self._database.read() as connection:
            return connection.execute(any_statement(frozenset(excluded_models)), moments(now)).first() is not None

    def claim(
        self,
        now: datetime,
        limit: int,
        worker_id: str,
        token: str,
        lease_seconds: float,
        excluded_models: Collection[str] = (),
    ) -> list[JobFile]:
        """Take up to `limit` pending files in queue order under a fresh lease token."""
        with self._database.write() as connection:
            rows = connection.execute(
                claim_statement(frozenset(excluded_models)),
                moments(now)
                | {
                    "limit": limit,
                    "token": token,
                    "worker": worker_id,
                    "expires": timestamp(now + timedelta(seconds=lease_seconds)),
                },
            )
            claimed = sorted((to_file(row) for row in rows.mappings()), key=lambda file: (file.priority.rank, file.id))
            if claimed:
                self._start_jobs(connection, {file.job_id for file in claimed}, now)
                # These were shown as waiting for another attempt.
                changes.mark(connection, {file.job_id for file in claimed if file.attempts})
                counting.move(
                    connection,
                    {counting.FILES + "pending": -len(claimed), counting.FILES + "processing": len(claimed)},
                )
            return claimed

    def _start_jobs(self, connection: Connection, job_ids: set[str], now: datetime) -> None:
        # One by one: with several ids SQLite would walk through every pending job instead.
        numbers = changes.take(connection, len(job_ids))
        started = connection.execute(
            START_JOB,
            [
                {"job": job_id, "moment": timestamp(now), "number": number}
                for job_id, number in zip(sorted(job_ids), numbers, strict=True)
            ],
        ).rowcount
        counting.move(connection, {counting.JOBS + "pending": -started, counting.JOBS + "processing": started})

    def heartbeat(self, now: datetime, leases: Sequence[tuple[int, str]], lease_seconds: float) -> set[int]:
        """Extend the leases of (file id, token); return the ids that are still held."""
        expires = timestamp(now + timedelta(seconds=lease_seconds))
        held = set()
        with self._database.write() as connection:
            for file_id, token in leases:
                if connection.execute(EXTEND, {"file": file_id, "token": token, "expires": expires}).rowcount:
                    held.add(file_id)
        return held

    def held(self, leases: Sequence[tuple[int, str]]) -> set[int]:
        """Which of (file id, token) are still ours, without extending them."""
        tokens = dict(leases)
        with self._database.read() as connection:
            rows = connection.execute(
                select(files.c.id, files.c.lease_token).where(files.c.id.in_(tokens), files.c.status == IS_PROCESSING)
            )
            return {file_id for file_id, token in rows if token == tokens[file_id]}

    def with_result(self, reuse_key: str) -> Outcome | None:
        """The result of a file with this key; the latest, which is kept longest."""
        with self._database.read() as connection:
            row = connection.execute(LATEST_WITH_RESULT, {"key": reuse_key}).mappings().first()
        if row is None:
            return None
        return Outcome(**{**row, "notes": parsed(row["notes"], {}), "cached": bool(row["cached"])})

    def complete(self, now: datetime, file_id: int, token: str, outcome: Outcome) -> None:
        """Publish a result. Raises LeaseLost when somebody else owns the file by now."""
        self._end_one(now, completed(file_id, token, outcome))

    def complete_many(self, now: datetime, outcomes: Sequence[tuple[int, str, Outcome]]) -> set[int]:
        """Publish results of (file id, token) in one transaction; return the ids whose lease was lost."""
        with self._database.write() as connection:
            return end_files(connection, now, [completed(*outcome) for outcome in outcomes])

    def fail(self, now: datetime, file_id: int, token: str, code: str, message: str, seconds: float | None) -> None:
        """End a file without a result. Raises LeaseLost."""
        self._end_one(now, failed(file_id, token, code, message, seconds))

    def _end_one(self, now: datetime, ending: Ending) -> None:
        with self._database.write() as connection:
            if end_files(connection, now, [ending]):
                raise LeaseLost(f"File {ending.file_id} is not under the lease {ending.token} any more.")

    def retry_later(
        self, now: datetime, file_id: int, token: str, code: str, message: str, delay_seconds: float
    ) -> None:
        """Count the attempt and put the file back for later. Raises LeaseLost."""
        with self._database.write() as connection:
            job_id = connection.execute(
                owned(file_id, token)
                .values(
                    status=JobStatus.PENDING,
                    attempts=files.c.attempts + 1,
                    available_at=timestamp(now + timedelta(seconds=delay_seconds)),
                    lease_token=None,
                    lease_expires_at=None,
                    error_code=code,
                    error_message=message,
                )
                .returning(files.c.job_id)
            ).scalar()
            if job_id is None:
                raise LeaseLost(f"File {file_id} is not under the lease {token} any more.")
            changes.mark(connection, [job_id])
            counting.move(connection, {counting.FILES + "processing": -1, counting.FILES + "pending": 1})

    def release(self, leases: Sequence[tuple[int, str]]) -> int:
        """Give files back untouched, for anybody to take at once; how many were still ours."""
        with self._database.write() as connection:
            released = [
                job_id
                for file_id, token in leases
                for job_id in connection.execute(
                    owned(file_id, token)
                    .values(status=JobStatus.PENDING, lease_token=None, lease_expires_at=None, worker_id=None)
                    .returning(files.c.job_id)
                ).scalars()
            ]
            changes.mark(connection, set(released))
            count = len(released)
            counting.move(connection, {counting.FILES + "processing": -count, counting.FILES + "pending": count})
            return count

    def expire_leases(self, now: datetime, lease_seconds: float) -> list[JobFile]:
        """Free the files of silent workers. A lease far in the future was written under another clock: expired too."""
        late = timestamp(now)
        absurd = timestamp(now + timedelta(seconds=2 * lease_seconds))
        return self._free(now, or_(files.c.lease_expires_at <= late, files.c.lease_expires_at > absurd))

    def free_dead_workers(self, now: datetime, machine: str, living_worker_id: str) -> list[JobFile]:
        """Free the files of this machine's earlier workers, known to be dead since we hold the machine's lock."""
        dead = select(workers.c.id).where(workers.c.machine == machine, workers.c.id != living_worker_id)
        freed = self._free(now, files.c.worker_id.in_(dead))
        with self._database.write() as connection:
            connection.execute(workers.delete().where(workers.c.machine == machine, workers.c.id != living_worker_id))
        return freed

    def _free(self, now: datetime, condition: ColumnElement[bool]) -> list[JobFile]:
        with self._database.read() as connection:
            found = connection.execute(
                select(files.c.id).where(files.c.status == IS_PROCESSING, condition).limit(1)
            ).first()
        if found is None:
            return []
        with self._database.write() as connection:
            rows = connection.execute(
                update(files)
                .where(files.c.status == IS_PROCESSING, condition)
                .values(
                    status=JobStatus.PENDING,
                    lease_token=None,
                    lease_expires_at=None,
                    worker_id=None,
                    lost_leases=files.c.lost_leases + 1,
                )
                .returning(files)
            ).mappings()
            freed: list[JobFile] = []
            hopeless: list[JobFile] = []
            for row in rows:
                (hopeless if row["lost_leases"] >= MAX_LOST_LEASES else freed).append(to_file(row))
            changes.mark(connection, {file.job_id for file in (*freed, *hopeless)})
            count = len(freed) + len(hopeless)
            counting.move(connection, {counting.FILES + "processing": -count, counting.FILES + "pending": count})
            for file in hopeless:
                give_up(connection, file, now)
            return freed


def owned(file_id: int, token: str) -> Update:
    """An update that only the holder of the lease can make."""
    return update(files).where(
        files.c.id == file_id, files.c.lease_token == token, files.c.status == JobStatus.PROCESSING
    )


def moments(now: datetime) -> dict[str, object]:
    return {"now": timestamp(now), "absurd": timestamp(now + LONGEST_WAIT)}


def give_up(connection: Connection, file: JobFile, now: datetime) -> None:
    """End a pending file that was never finished, whoever tried."""
    connection.execute(
        update(files)
        .where(files.c.id == file.id)
        .values(
            status=JobStatus.FAILED,
            completed_at=timestamp(now),
            error_code=HostDied.code,
            error_message=f"The service died {MAX_LOST_LEASES} times while working on this picture.",
        )
    )
    counting.move(connection, {counting.FILES + "pending": -1, counting.FILES + "failed": 1})
    (number,) = changes.take(connection)
    count_in_job(connection, now, file.job_id, Ended(failed=1), number)


# --- statements, built once: SQLAlchemy takes several times as long to build one as to run it ---------------------

LATEST_WITH_RESULT = (
    select(files.c["seconds"], *(files.c[name] for name in RESULT))
    .where(files.c.reuse_key == bindparam("key"), files.c.status == IS_COMPLETED)
    .order_by(files.c.id.desc())
    .limit(1)
)
START_JOB = (
    update(jobs)
    .where(jobs.c.id == bindparam("job"), jobs.c.status == JobStatus.PENDING)
    .values(status=JobStatus.PROCESSING, started_at=bindparam("moment"), changed=bindparam("number"))
)
EXTEND = (
    update(files)
    .where(files.c.id == bindparam("file"), files.c.lease_token == bindparam("token"), files.c.status == IS_PROCESSING)
    .values(lease_expires_at=bindparam("expires"))
)


def available(query: Select[int], excluded_models: Collection[str]) -> Select[int]:
    """Only files that can be worked on at the `moments` of now."""
    waiting = query.where(
        files.c.status == IS_PENDING,
        or_(files.c.available_at <= bindparam("now"), files.c.available_at > bindparam("absurd")),
    )
    return waiting.where(files.c.model.not_in(sorted(excluded_models))) if excluded_models else waiting


@cache
def any_statement(excluded_models: frozenset[str]) -> Select[int]:
    return available(select(files.c.id), excluded_models).limit(1)


@cache
def claim_statement(excluded_models: frozenset[str]) -> Update:
    """One statement that picks and takes. MATERIALIZED: a bare subquery with LIMIT may run more than once."""
    picked = (
        available(select(files.c.id), excluded_models)
        .order_by(files.c.priority, files.c.id)
        .limit(bindparam("limit"))
        .with_for_update(skip_locked=True)
        .cte("picked")
        .prefix_with("MATERIALIZED")
    )
    return (
        update(files)
        .where(files.c.id.in_(select(picked.c.id)))
        .values(
            status=JobStatus.PROCESSING,
            lease_token=bindparam("token"),
            lease_expires_at=bindparam("expires"),
            worker_id=bindparam("worker"),
            started_at=bindparam("now"),
        )
        .returning(*files.c)
    )
