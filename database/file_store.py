"""Atomic SQL on files, the unit of work: claim, heartbeat, outcome, release. `now` is always an argument."""

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, Select, Update, bindparam, func, or_, select, update

from database import counting
from database.engine import Database
from database.rows import to_file
from database.tables import IS_PENDING, IS_PROCESSING, jobs, workers
from database.tables import job_files as files
from errors import LeaseLost
from job import JobFile, JobStatus, Outcome, timestamp

# No more files than these are counted to tell a place in the queue.
COUNTED_FILES = 10_000
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
            waiting = available(select(files.c.id), excluded_models).limit(1)
            return connection.execute(waiting, moments(now)).first() is not None

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
                claim_statement(excluded_models),
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
                counting.move(
                    connection,
                    {counting.FILES + "pending": -len(claimed), counting.FILES + "processing": len(claimed)},
                )
                self._start_jobs(connection, {file.job_id for file in claimed}, now)
            return claimed

    def _start_jobs(self, connection: Connection, job_ids: set[str], now: datetime) -> None:
        # One by one: with several ids SQLite would walk through every pending job instead.
        started = sum(
            connection.execute(
                update(jobs)
                .where(jobs.c.id == job_id, jobs.c.status == JobStatus.PENDING)
                .values(status=JobStatus.PROCESSING, started_at=timestamp(now))
            ).rowcount
            for job_id in sorted(job_ids)
        )
        counting.move(connection, {counting.JOBS + "pending": -started, counting.JOBS + "processing": started})

    def heartbeat(self, now: datetime, leases: Sequence[tuple[int, str]], lease_seconds: float) -> set[int]:
        """Extend the leases of (file id, token); return the ids that are still held."""
        expires = timestamp(now + timedelta(seconds=lease_seconds))
        held = set()
        with self._database.write() as connection:
            for file_id, token in leases:
                if connection.execute(owned(file_id, token).values(lease_expires_at=expires)).rowcount:
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

    def complete(self, now: datetime, file_id: int, token: str, outcome: Outcome) -> None:
        """Publish a result. Raises LeaseLost when somebody else owns the file by now."""
        values = asdict(outcome) | {"notes": json.dumps(outcome.notes), "error_code": None, "error_message": None}
        self._end(now, file_id, token, JobStatus.COMPLETED, values)

    def fail(self, now: datetime, file_id: int, token: str, code: str, message: str, seconds: float | None) -> None:
        """End a file without a result. Raises LeaseLost."""
        values: dict[str, object] = {"error_code": code, "error_message": message, "seconds": seconds}
        self._end(now, file_id, token, JobStatus.FAILED, values)

    def _end(self, now: datetime, file_id: int, token: str, status: JobStatus, values: dict[str, object]) -> None:
        with self._database.write() as connection:
            job_id = connection.execute(
                owned(file_id, token)
                .values(
                    status=status,
                    attempts=files.c.attempts + 1,
                    completed_at=timestamp(now),
                    lease_token=None,
                    lease_expires_at=None,
                    **values,
                )
                .returning(files.c.job_id)
            ).scalar()
            if job_id is None:
                raise LeaseLost(f"File {file_id} is not under the lease {token} any more.")
            counting.move(connection, {counting.FILES + "processing": -1, counting.FILES + status: 1})
            column = jobs.c.processed_files if status is JobStatus.COMPLETED else jobs.c.failed_files
            connection.execute(update(jobs).where(jobs.c.id == job_id).values({column: column + 1}))
            end_job_when_done(connection, job_id, now)

    def retry_later(
        self, now: datetime, file_id: int, token: str, code: str, message: str, delay_seconds: float
    ) -> None:
        """Count the attempt and put the file back for later. Raises LeaseLost."""
        with self._database.write() as connection:
            moved = connection.execute(
                owned(file_id, token).values(
                    status=JobStatus.PENDING,
                    attempts=files.c.attempts + 1,
                    available_at=timestamp(now + timedelta(seconds=delay_seconds)),
                    lease_token=None,
                    lease_expires_at=None,
                    error_code=code,
                    error_message=message,
                )
            ).rowcount
            if not moved:
                raise LeaseLost(f"File {file_id} is not under the lease {token} any more.")
            counting.move(connection, {counting.FILES + "processing": -1, counting.FILES + "pending": 1})

    def release(self, leases: Sequence[tuple[int, str]]) -> int:
        """Give files back untouched, for anybody to take at once; how many were still ours."""
        with self._database.write() as connection:
            released = sum(
                connection.execute(
                    owned(file_id, token).values(
                        status=JobStatus.PENDING, lease_token=None, lease_expires_at=None, worker_id=None
                    )
                ).rowcount
                for file_id, token in leases
            )
            counting.move(connection, {counting.FILES + "processing": -released, counting.FILES + "pending": released})
            return released

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
            count = len(freed) + len(hopeless)
            counting.move(connection, {counting.FILES + "processing": -count, counting.FILES + "pending": count})
            for file in hopeless:
                give_up(connection, file, now)
            return freed


def available(query: Select[int], excluded_models: Collection[str]) -> Select[int]:
    """Only files that can be worked on at the `moments` of now."""
    waiting = query.where(
        files.c.status == IS_PENDING,
        or_(files.c.available_at <= bindparam("now"), files.c.available_at > bindparam("absurd")),
    )
    return waiting.where(files.c.model.not_in(sorted(excluded_models))) if excluded_models else waiting


def moments(now: datetime) -> dict[str, object]:
    return {"now": timestamp(now), "absurd": timestamp(now + LONGEST_WAIT)}


def claim_statement(excluded_models: Collection[str]) -> Update:
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


def owned(file_id: int, token: str) -> Update:
    """An update that only the holder of the lease can make."""
    return update(files).where(
        files.c.id == file_id, files.c.lease_token == token, files.c.status == JobStatus.PROCESSING
    )


def give_up(connection: Connection, file: JobFile, now: datetime) -> None:
    connection.execute(
        update(files)
        .where(files.c.id == file.id)
        .values(
            status=JobStatus.FAILED,
            completed_at=timestamp(now),
            error_code="host_died",
            error_message=f"The service died {MAX_LOST_LEASES} times while working on this picture.",
        )
    )
    counting.move(connection, {counting.FILES + "pending": -1, counting.FILES + "failed": 1})
    connection.execute(update(jobs).where(jobs.c.id == file.job_id).values(failed_files=jobs.c.failed_files + 1))
    end_job_when_done(connection, file.job_id, now)


def end_job_when_done(connection: Connection, job_id: str, now: datetime) -> None:
    """When the last file has ended, end the job and write its results."""
    job = connection.execute(select(jobs).where(jobs.c.id == job_id)).mappings().one()
    if job["processed_files"] + job["failed_files"] < job["total_files"]:
        return
    ended = files_of(connection, job_id)
    status = JobStatus.COMPLETED if job["processed_files"] else JobStatus.FAILED
    connection.execute(
        update(jobs)
        .where(jobs.c.id == job_id)
        .values(
            status=status,
            completed_at=timestamp(now),
            kept_since=timestamp(now),
            error_message=reason_of_failure(ended) if status is JobStatus.FAILED else None,
            results=results_json(ended),
        )
    )
    counting.move(connection, {counting.JOBS + "processing": -1, counting.JOBS + status: 1})


def files_of(connection: Connection, job_id: str) -> list[JobFile]:
    rows = connection.execute(select(files).where(files.c.job_id == job_id).order_by(files.c.position))
    return [to_file(row) for row in rows.mappings()]


def reason_of_failure(ended: Sequence[JobFile]) -> str | None:
    first = ended[0].error_message
    if len(ended) == 1:
        return first
    same = all(file.error_message == first for file in ended)
    return f"All {len(ended)} files failed. {first if same else f'The first, {ended[0].filename}: {first}'}"


def results_json(ended: Sequence[JobFile]) -> str:
    """One entry for every file, as clients see it but for the address."""
    return json.dumps(
        [
            {
                "index": file.position,
                "filename": file.filename,
                "status": file.status,
                "content_type": file.content_type,
                "width": file.width,
                "height": file.height,
                "bytes": file.output_bytes,
                "sha256": file.output_sha256,
                "model": file.model,
                "seconds": file.seconds,
                "error": file.error_message,
                "error_code": file.error_code,
                "attempts": file.attempts,
                "notes": file.notes,
            }
            for file in ended
        ]
    )


def pending_before(connection: Connection, file_id: int, rank: int) -> int:
    """How many pending files stand before this one, counted up to COUNTED_FILES.

    Two counts, since each can then use the index; bounded, since many clients ask often.
    """
    pending = select(files.c.id).where(files.c.status == IS_PENDING).limit(COUNTED_FILES)
    more_urgent = pending.where(files.c.priority < rank).subquery()
    earlier = pending.where(files.c.priority == rank, files.c.id < file_id).subquery()
    counts = [
        connection.execute(select(func.count()).select_from(part)).scalar_one() for part in (more_urgent, earlier)
    ]
    return min(sum(counts), COUNTED_FILES)
