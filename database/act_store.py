"""Atomic SQL of what people do to jobs: cancel, retry, another priority; to one or to many, each with its line."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, bindparam, exists, select, update

from database import changes, counting
from database.endings import results_json
from database.engine import Database
from database.history_store import NewLine, note, note_whole
from database.job_search import ids_beginning_with, places
from database.rows import to_file
from database.tables import job_files as files
from database.tables import jobs
from job import UNFINISHED, Act, Deed, JobFile, JobFilter, JobStatus, Priority, timestamp


@dataclass
class Whole:
    """An act on many jobs while it is being done, in several transactions: its line tells how far it has come."""

    of_what: str
    line_id: int | None = None
    jobs: int = 0


@dataclass
class Done:
    """`before`: the states of the jobs that are known; `details`: of those that changed, for their lines."""

    before: Mapping[str, JobStatus]
    details: dict[str, str | None] = field(default_factory=dict)
    # Uploads that nobody needs any more.
    dropped: list[str] = field(default_factory=list)


class ActStore:
    """Changes that people make, to rows of `jobs` and of `job_files`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def do(
        self,
        now: datetime,
        act: Act,
        job_ids: Collection[str],
        by: str | None,
        detail: str | None = None,
        whole: Whole | None = None,
    ) -> Done:
        """Do it to those of the jobs to which it applies. `detail` replaces what their lines say otherwise."""
        with self._database.write() as connection:
            known = connection.execute(select(*STATE).where(jobs.c.id.in_(sorted(job_ids)))).all()
            done = Done({row.id: JobStatus(row.status) for row in known})
            mine = [row.id for row in known if done.before[row.id] in act.from_states]
            if act.deed is Deed.CANCEL:
                cancel(connection, now, sorted(mine), done)
            elif act.deed is Deed.RETRY:
                retry(connection, now, sorted(mine), done)
            else:
                others = {row.id for row in known if row.priority != act.priority.rank}
                prioritise(connection, sorted(others.intersection(mine)), act.priority, done)
            count = len(done.details)
            if count and whole is not None:
                told = f"{whole.jobs + count} job{'' if whole.jobs + count == 1 else 's'}: {whole.of_what}"
                line_id = note_whole(connection, now, NewLine(act.deed, by, detail=told), whole.line_id)
            else:
                line_id = None
            lines = [
                NewLine(act.deed, by, job_id, detail=detail or own, part_of=line_id)
                for job_id, own in done.details.items()
            ]
            note(connection, now, lines)
        if count and whole is not None:
            whole.line_id, whole.jobs = line_id, whole.jobs + count
        return done

    def sizes(self, job_ids: Collection[str]) -> dict[str, int]:
        """Files of each of the jobs that are known."""
        with self._database.read() as connection:
            rows = connection.execute(select(jobs.c.id, jobs.c.total_files).where(jobs.c.id.in_(sorted(job_ids))))
            return {row.id: row.total_files or 0 for row in rows}

    def candidates(self, act: Act, wanted: JobFilter, as_of: datetime, most: int) -> tuple[list[str], int]:
        """Up to `most` of the jobs that are wanted and to which the act applies, and how many there are beyond them.

        All are looked at, however long the history. What ended after `as_of` does not count: a job that is retried and
        fails again would be met again and again.
        """
        chosen: list[str] = []
        beyond = 0
        with self._database.read() as connection:
            for job_id in applicable(connection, act, wanted, as_of):
                if len(chosen) < most:
                    chosen.append(job_id)
                else:
                    beyond += 1
        return chosen, beyond


def applicable(connection: Connection, act: Act, wanted: JobFilter, as_of: datetime) -> Iterator[str]:
    conditions: list[ColumnElement[bool]] = []
    if ids := ids_beginning_with(connection, wanted.text):
        wanted = replace(wanted, text=None)
        conditions.append(jobs.c.id.in_(ids))
    if act.deed is Deed.RETRY:
        failed = exists().where(files.c.job_id == jobs.c.id, files.c.status == JobStatus.FAILED)
        conditions += [jobs.c.completed_at <= timestamp(as_of), jobs.c.failed_files > 0, failed]
    if act.deed is Deed.PRIORITY:
        conditions.append(jobs.c.priority != act.priority.rank)
    # State by state, since there is an index for each.
    for state in sorted(act.from_states & ({wanted.status} if wanted.status else act.from_states)):
        for _, job_id in places(connection, replace(wanted, status=state), conditions):
            yield job_id


def cancel(connection: Connection, now: datetime, job_ids: Sequence[str], done: Done) -> None:
    """Of jobs that have not ended; their unfinished files with them."""
    if not job_ids:
        return
    unfinished = (files.c.job_id.in_(job_ids), files.c.status.in_(UNFINISHED))
    stopped = select(files.c.id, files.c.status).where(*unfinished).order_by(files.c.id).with_for_update()
    states = Counter(status for _, status in connection.execute(stopped))
    ended = {"status": JobStatus.CANCELLED, "completed_at": timestamp(now)}
    connection.execute(update(files).where(*unfinished).values(**ended, lease_token=None, lease_expires_at=None))
    of_jobs: dict[str, list[JobFile]] = {job_id: [] for job_id in job_ids}
    every = select(files).where(files.c.job_id.in_(job_ids)).order_by(files.c.position)
    for row in connection.execute(every).mappings():
        of_jobs[row["job_id"]].append(to_file(row))
    numbers = changes.take(connection, len(job_ids))
    moved = {counting.FILES + state: -count for state, count in states.items()}
    moved |= {counting.FILES + "cancelled": states.total()}
    counting.move(connection, moved | jobs_moved(done, job_ids, JobStatus.CANCELLED))
    connection.execute(
        CANCEL_JOB,
        [
            {"job": job_id, "number": number, "moment": timestamp(now), "written": results_json(of_jobs[job_id])}
            for job_id, number in zip(job_ids, numbers, strict=True)
        ],
    )
    for job_id, its_files in of_jobs.items():
        done.details[job_id] = "It was being worked on." if done.before[job_id] is JobStatus.PROCESSING else None
        done.dropped += [file.input_key for file in its_files if file.status is JobStatus.CANCELLED]


def retry(connection: Connection, now: datetime, job_ids: Sequence[str], done: Done) -> None:
    """The failed files of jobs that have ended. A job without any, such as one of the earlier service, stays."""
    if not job_ids:
        return
    again = Counter(
        connection.execute(
            update(files)
            .where(files.c.job_id.in_(job_ids), files.c.status == JobStatus.FAILED)
            .values(
                status=JobStatus.PENDING,
                attempts=0,
                lost_leases=0,
                available_at=timestamp(now),
                started_at=None,
                worker_id=None,
                completed_at=None,
                seconds=None,
                error_code=None,
                error_message=None,
            )
            .returning(files.c.job_id)
        ).scalars()
    )
    if not again:
        return
    numbers = changes.take(connection, len(again))
    moved = {counting.FILES + "failed": -again.total(), counting.FILES + "pending": again.total()}
    counting.move(connection, moved | jobs_moved(done, again, JobStatus.PENDING))
    connection.execute(
        RETRY_JOB,
        [
            {"job": job_id, "number": number, "again": again[job_id]}
            for job_id, number in zip(sorted(again), numbers, strict=True)
        ],
    )
    for job_id, count in sorted(again.items()):
        done.details[job_id] = f"{count} failed file{'' if count == 1 else 's'}"


def prioritise(connection: Connection, job_ids: Sequence[str], priority: Priority, done: Done) -> None:
    """Of jobs that have not ended. Files in work keep it too, since they may have to wait again."""
    if not job_ids:
        return
    connection.execute(update(files).where(files.c.job_id.in_(job_ids)).values(priority=priority.rank))
    numbers = changes.take(connection, len(job_ids))
    connection.execute(
        PRIORITISE_JOB,
        [
            {"job": job_id, "number": number, "rank": priority.rank}
            for job_id, number in zip(job_ids, numbers, strict=True)
        ],
    )
    done.details.update(dict.fromkeys(job_ids, priority.value))


def jobs_moved(done: Done, job_ids: Collection[str], to: JobStatus) -> dict[str, int]:
    """What it means for the counters."""
    left = Counter(counting.JOBS + done.before[job_id] for job_id in job_ids)
    return {name: -count for name, count in left.items()} | {counting.JOBS + to: len(job_ids)}


# --- statements, built once: SQLAlchemy takes several times as long to build one as to run it ---------------------

STATE = (jobs.c.id, jobs.c.status, jobs.c.priority)
CANCEL_JOB = (
    update(jobs)
    .where(jobs.c.id == bindparam("job"))
    .values(
        changed=bindparam("number"),
        status=JobStatus.CANCELLED,
        completed_at=bindparam("moment"),
        kept_since=bindparam("moment"),
        results=bindparam("written"),
    )
)
RETRY_JOB = (
    update(jobs)
    .where(jobs.c.id == bindparam("job"))
    .values(
        changed=bindparam("number"),
        status=JobStatus.PENDING,
        started_at=None,
        completed_at=None,
        kept_since=None,
        failed_files=jobs.c.failed_files - bindparam("again"),
        error_message=None,
        results=None,
    )
)
PRIORITISE_JOB = (
    update(jobs).where(jobs.c.id == bindparam("job")).values(changed=bindparam("number"), priority=bindparam("rank"))
)
