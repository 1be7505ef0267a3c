"""Atomic SQL on jobs: insert, read, list, cancel, retry, expire. `now` is always an argument."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache

from sqlalchemy import Connection, Select, bindparam, delete, insert, select, tuple_, update

from database import changes, counting
from database.endings import files_of, results_json
from database.engine import Database
from database.key_store import Reservation, bind_key
from database.places import first_pending_before
from database.rows import to_file, to_job
from database.tables import IS_PENDING, expired_jobs, jobs
from database.tables import job_files as files
from errors import QueueFull
from job import Job, JobFile, JobStatus, NewFile, Priority, preview_keys, timestamp

# Results of a batch are long, and no list shows them.
LISTED = [column for column in jobs.c if column.name != "results"]


@dataclass(frozen=True)
class Page:
    """Part of a listing, newest first; `next` is (created_at, id) of the last one when there are more."""

    total: int
    jobs: Sequence[Job]
    next: tuple[str, str] | None


class JobStore:
    """Rows of `jobs`, and what their changes mean for the files."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def insert(
        self,
        now: datetime,
        job_id: str,
        operation: str,
        model: str,
        params: Mapping[str, object],
        metadata: Mapping[str, object],
        priority: Priority,
        new_files: Sequence[NewFile],
        attachments: Sequence[str],
        max_pending_files: int,
        reservation: Reservation | None,
    ) -> tuple[Job, int]:
        """Make a job of stored files and bind its idempotency key; also tell how many files wait before its first.

        Raises QueueFull and SubmitInProgress.
        """
        moment = timestamp(now)
        count = len(new_files)
        with self._database.write() as connection:
            pending = counting.read(connection).get(counting.FILES + "pending", 0)
            if pending + count > max_pending_files:
                raise QueueFull(pending, max_pending_files)
            if reservation is not None:
                bind_key(connection, now, reservation, job_id)
            (number,) = changes.take(connection)
            connection.execute(
                INSERT_JOB,
                {
                    "id": job_id,
                    "status": JobStatus.PENDING,
                    "created_at": moment,
                    "job_type": "single" if count == 1 else "batch",
                    "filenames": json.dumps([file.filename for file in new_files]),
                    "total_files": count,
                    "model": model,
                    "metadata": json.dumps(metadata),
                    "operation": operation,
                    "priority": priority.rank,
                    "attachments": json.dumps(attachments) if attachments else None,
                    "changed": number,
                },
            )
            connection.execute(
                INSERT_FILES,
                [
                    {
                        "job_id": job_id,
                        "position": position,
                        "filename": file.filename,
                        "status": JobStatus.PENDING,
                        "operation": operation,
                        "model": model,
                        "params": json.dumps(params),
                        "priority": priority.rank,
                        "available_at": moment,
                        "input_key": file.input_key,
                        "input_bytes": file.input_bytes,
                        "input_sha256": file.input_sha256,
                        "input_format": file.input_format,
                        "reuse_key": file.reuse_key,
                    }
                    for position, file in enumerate(new_files)
                ],
            )
            counting.move(connection, {counting.JOBS + "pending": 1, counting.FILES + "pending": count})
            job = to_job(connection.execute(JOB, {"job": job_id}).mappings().one())
            return job, first_pending_before(connection, job_id) or 0

    def get(self, job_id: str) -> Job | None:
        with self._database.read() as connection:
            row = connection.execute(JOB, {"job": job_id}).mappings().first()
            return to_job(row) if row else None

    def unfinished(self, job_ids: Collection[str]) -> set[str]:
        """Those of the jobs that have not ended, and are still known."""
        with self._database.read() as connection:
            states = connection.execute(states_of(job_ids)).all()
        return {job_id for job_id, status in states if not JobStatus(status).ended}

    def expired_at(self, job_id: str) -> str | None:
        """When retention took the job, or None."""
        with self._database.read() as connection:
            return connection.execute(select(expired_jobs.c.expired_at).where(expired_jobs.c.id == job_id)).scalar()

    def files(self, job_id: str) -> list[JobFile]:
        with self._database.read() as connection:
            return files_of(connection, job_id)

    def file(self, job_id: str, position: int) -> JobFile | None:
        with self._database.read() as connection:
            row = (
                connection.execute(select(files).where(files.c.job_id == job_id, files.c.position == position))
                .mappings()
                .first()
            )
            return to_file(row) if row else None

    def pending_before(self, job_id: str) -> int | None:
        """Pending files before the job's next one; None when none of its files waits."""
        with self._database.read() as connection:
            return first_pending_before(connection, job_id)

    def next_attempt(self, job_id: str) -> tuple[int, str] | None:
        """Failed attempts so far of the file that is tried again first, and when; None when none waits for that."""
        with self._database.read() as connection:
            row = connection.execute(NEXT_ATTEMPT, {"job": job_id}).first()
            return None if row is None else (row.attempts, row.available_at)

    def counts(self) -> dict[str, int]:
        """Counters by name: `jobs.<status>` and `files.<status>`."""
        with self._database.read() as connection:
            return counting.read(connection)

    def page(self, status: JobStatus | None, limit: int, before: tuple[str, str] | None) -> Page:
        """Jobs newest first; `before` is the `next` of the page before."""
        created_at, job_id = before or (None, None)
        given = {"state": status, "created_at": created_at, "id": job_id, "limit": limit + 1}
        wanted = page_statement(status is not None, before is not None)
        with self._database.read() as connection:
            found = [to_job(row) for row in connection.execute(wanted, given).mappings()]
            counted = counting.read(connection)
        states = list(JobStatus) if status is None else [status]
        shown = found[:limit]
        return Page(
            total=sum(counted.get(counting.JOBS + state, 0) for state in states),
            jobs=shown,
            next=(shown[-1].created_at, shown[-1].id) if len(found) > limit else None,
        )

    def oldest_pending(self, limit: int) -> list[Job]:
        with self._database.read() as connection:
            rows = connection.execute(
                select(*LISTED)
                .where(jobs.c.status == JobStatus.PENDING)
                .order_by(jobs.c.created_at, jobs.c.id)
                .limit(limit)
            )
            return [to_job(row) for row in rows.mappings()]

    def cancel(self, now: datetime, job_id: str, from_states: Collection[JobStatus]) -> JobStatus | None:
        """Cancel a job and its unfinished files if it is in one of the states; return the state it was in before."""
        with self._database.write() as connection:
            before = self._status(connection, job_id)
            if before is None or before not in from_states:
                return before
            unfinished = (JobStatus.PENDING, JobStatus.PROCESSING)
            cancelled = connection.execute(
                select(files.c.id, files.c.status).where(files.c.job_id == job_id, files.c.status.in_(unfinished))
            )
            states = [state for _, state in cancelled]
            connection.execute(
                update(files)
                .where(files.c.job_id == job_id, files.c.status.in_(unfinished))
                .values(
                    status=JobStatus.CANCELLED,
                    completed_at=timestamp(now),
                    lease_token=None,
                    lease_expires_at=None,
                )
            )
            (number,) = changes.take(connection)
            connection.execute(
                update(jobs)
                .where(jobs.c.id == job_id)
                .values(
                    changed=number,
                    status=JobStatus.CANCELLED,
                    completed_at=timestamp(now),
                    kept_since=timestamp(now),
                    results=results_json(files_of(connection, job_id)),
                )
            )
            moved = {counting.FILES + state: -states.count(state) for state in unfinished}
            moved |= {counting.FILES + "cancelled": len(states)}
            moved |= {counting.JOBS + before: -1, counting.JOBS + "cancelled": 1}
            counting.move(connection, moved)
            return before

    def retry(self, now: datetime, job_id: str) -> tuple[JobStatus | None, int]:
        """Queue the failed files of an ended job again; return the state it was in and how many files that are."""
        with self._database.write() as connection:
            before = self._status(connection, job_id)
            if before not in (JobStatus.FAILED, JobStatus.COMPLETED):
                return before, 0
            again = connection.execute(
                update(files)
                .where(files.c.job_id == job_id, files.c.status == JobStatus.FAILED)
                .values(
                    status=JobStatus.PENDING,
                    attempts=0,
                    lost_leases=0,
                    available_at=timestamp(now),
                    completed_at=None,
                    seconds=None,
                    error_code=None,
                    error_message=None,
                )
            ).rowcount
            if again == 0:  # nothing failed, or a job of the earlier service, which kept no pictures
                return before, 0
            (number,) = changes.take(connection)
            connection.execute(
                update(jobs)
                .where(jobs.c.id == job_id)
                .values(
                    changed=number,
                    status=JobStatus.PENDING,
                    started_at=None,
                    completed_at=None,
                    kept_since=None,
                    failed_files=jobs.c.failed_files - again,
                    error_message=None,
                    results=None,
                )
            )
            counting.move(
                connection,
                {
                    counting.FILES + "failed": -again,
                    counting.FILES + "pending": again,
                    counting.JOBS + before: -1,
                    counting.JOBS + "pending": 1,
                },
            )
            return before, again

    def annotate(self, job_id: str, metadata: Mapping[str, object]) -> None:
        """Add to what the owner noted on the job."""
        with self._database.write() as connection:
            row = connection.execute(select(jobs).where(jobs.c.id == job_id)).mappings().one()
            merged = {**to_job(row).metadata, **metadata}
            (number,) = changes.take(connection)
            noted = update(jobs).where(jobs.c.id == job_id).values(metadata=json.dumps(merged), changed=number)
            connection.execute(noted)

    def _status(self, connection: Connection, job_id: str) -> JobStatus | None:
        status = connection.execute(select(jobs.c.status).where(jobs.c.id == job_id)).scalar()
        return None if status is None else JobStatus(status)

    def expire(self, now: datetime, ended_before: datetime, limit: int) -> tuple[int, list[str]]:
        """Delete up to `limit` jobs that ended before a moment; how many, and the keys of their bytes."""
        with self._database.read() as connection:
            ids = list(connection.execute(old_jobs(ended_before).limit(limit)).scalars())
        if not ids:
            return 0, []
        with self._database.write() as connection:
            # Read again under the write lock: one of them may have been retried meanwhile.
            old = {job_id: state for job_id, state in connection.execute(states_of(ids)) if JobStatus(state).ended}
            if not old:
                return 0, []
            found = list(
                connection.execute(
                    select(files.c.input_key, files.c.output_key, files.c.status).where(files.c.job_id.in_(old))
                )
            )
            attached = attached_keys(connection, old)
            connection.execute(delete(files).where(files.c.job_id.in_(old)))
            connection.execute(delete(jobs).where(jobs.c.id.in_(old)))
            connection.execute(insert(expired_jobs), [{"id": job_id, "expired_at": timestamp(now)} for job_id in old])
            moved: dict[str, int] = {}
            for name in [counting.JOBS + state for state in old.values()] + [
                counting.FILES + state for _, _, state in found
            ]:
                moved[name] = moved.get(name, 0) - 1
            counting.move(connection, moved)
        return len(old), [*blobs_of((row.input_key, row.output_key) for row in found), *attached]

    def forget_expired(self, before: datetime, limit: int) -> int:
        """Delete the notes on jobs that expired before a moment."""
        with self._database.write() as connection:
            ids = select(expired_jobs.c.id).where(expired_jobs.c.expired_at < timestamp(before)).limit(limit)
            return connection.execute(delete(expired_jobs).where(expired_jobs.c.id.in_(ids))).rowcount

    def used_keys(self, job_ids: Collection[str]) -> set[str]:
        """The keys of every blob that jobs of these ids refer to."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(files.c.input_key, files.c.output_key).where(files.c.job_id.in_(sorted(job_ids)))
            )
            return {*blobs_of(rows), *attached_keys(connection, job_ids)}


def blobs_of(files: Iterable[tuple[str, str | None]]) -> Iterator[str]:
    """Keys of all that files have in storage, by their (input key, output key)."""
    for input_key, output_key in files:
        yield input_key
        if output_key is not None:
            yield output_key
            yield from preview_keys(output_key)


def attached_keys(connection: Connection, job_ids: Collection[str]) -> list[str]:
    """Blobs that belong to all files of these jobs."""
    rows = connection.execute(
        select(jobs.c.attachments).where(jobs.c.id.in_(sorted(job_ids)), jobs.c.attachments.is_not(None))
    )
    return [key for listed in rows.scalars() for key in json.loads(listed or "[]")]


def old_jobs(ended_before: datetime) -> Select[str]:
    """Only an ended job has a `kept_since`; asking for its status too would make SQLite pick another index."""
    return select(jobs.c.id).where(jobs.c.kept_since < timestamp(ended_before)).order_by(jobs.c.kept_since)


def states_of(ids: Collection[str]) -> Select[str, str]:
    """By id alone: asking for states too makes SQLite walk through every job that ended."""
    return select(jobs.c.id, jobs.c.status).where(jobs.c.id.in_(ids))


# --- statements, built once: SQLAlchemy takes several times as long to build one as to run it ---------------------

JOB = select(jobs).where(jobs.c.id == bindparam("job"))
INSERT_JOB = insert(jobs)
INSERT_FILES = insert(files)
NEXT_ATTEMPT = (
    select(files.c.attempts, files.c.available_at)
    .where(files.c.job_id == bindparam("job"), files.c.status == IS_PENDING, files.c.attempts > 0)
    .order_by(files.c.available_at)
    .limit(1)
)


@cache
def page_statement(of_one_state: bool, goes_on: bool) -> Select[tuple[object, ...]]:
    wanted = select(*LISTED).order_by(jobs.c.created_at.desc(), jobs.c.id.desc()).limit(bindparam("limit"))
    if of_one_state:
        wanted = wanted.where(jobs.c.status == bindparam("state"))
    if goes_on:
        wanted = wanted.where(tuple_(jobs.c.created_at, jobs.c.id) < tuple_(bindparam("created_at"), bindparam("id")))
    return wanted
