"""How files end, with or without a result, and their jobs with the last of them. In the caller's transaction."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, select, update

from database import changes, counting
from database.rows import to_file
from database.tables import IS_PROCESSING, jobs
from database.tables import job_files as files
from job import JobFile, JobStatus, Outcome, timestamp

RESULT = (
    "output_key",
    "output_bytes",
    "output_sha256",
    "content_type",
    "extension",
    "width",
    "height",
    "notes",
    "cached",
)


@dataclass(frozen=True)
class Ending:
    """What is to become of one file, if it is still under this lease. `values` are columns of job_files."""

    file_id: int
    token: str
    status: JobStatus
    values: dict[str, object]


def completed(file_id: int, token: str, outcome: Outcome) -> Ending:
    values = asdict(outcome) | {"notes": json.dumps(outcome.notes), "error_code": None, "error_message": None}
    return Ending(file_id, token, JobStatus.COMPLETED, values)


def failed(file_id: int, token: str, code: str, message: str, seconds: float | None) -> Ending:
    values: dict[str, object] = dict.fromkeys(RESULT) | {
        "cached": False,
        "error_code": code,
        "error_message": message,
        "seconds": seconds,
    }
    return Ending(file_id, token, JobStatus.FAILED, values)


@dataclass
class Ended:
    """Files of one job that have just ended."""

    completed: int = 0
    failed: int = 0


def end_files(connection: Connection, now: datetime, endings: Sequence[Ending]) -> set[int]:
    """End files under their leases, and jobs with their last file; return the ids of those whose lease was lost."""
    lost = set()
    by_job: dict[str, Ended] = {}
    # In one order always, files before jobs, so that two transactions never wait for each other's rows.
    for ending in sorted(endings, key=lambda ending: ending.file_id):
        values = {"file": ending.file_id, "token": ending.token, "new_status": ending.status, "moment": timestamp(now)}
        job_id = connection.execute(END_FILE, values | ending.values).scalar()
        if job_id is None:
            lost.add(ending.file_id)
            continue
        ended = by_job.setdefault(job_id, Ended())
        if ending.status is JobStatus.COMPLETED:
            ended.completed += 1
        else:
            ended.failed += 1
    if by_job:
        numbers = changes.take(connection, len(by_job))
        good, bad = (sum(getattr(ended, name) for ended in by_job.values()) for name in ("completed", "failed"))
        moved = {"processing": -good - bad, "completed": good, "failed": bad}
        counting.move(connection, {counting.FILES + name: change for name, change in moved.items()})
        for (job_id, ended), number in zip(sorted(by_job.items()), numbers, strict=True):
            count_in_job(connection, now, job_id, ended, number)
    return lost


def count_in_job(connection: Connection, now: datetime, job_id: str, ended: Ended, number: int) -> None:
    """Add to the job's numbers as a change; when its last file has ended, end it and write its results."""
    moved = {"job": job_id, "completed": ended.completed, "failed": ended.failed, "number": number}
    job = connection.execute(COUNT_IN_JOB, moved).one()
    if job.processed_files + job.failed_files < job.total_files:
        return
    all_files = files_of(connection, job_id)
    status = JobStatus.COMPLETED if job.processed_files else JobStatus.FAILED
    connection.execute(
        END_JOB,
        {
            "job": job_id,
            "new_status": status,
            "moment": timestamp(now),
            "reason": reason_of_failure(all_files) if status is JobStatus.FAILED else None,
            "written": results_json(all_files),
        },
    )
    counting.move(connection, {counting.JOBS + "processing": -1, counting.JOBS + status: 1})


def files_of(connection: Connection, job_id: str) -> list[JobFile]:
    return [to_file(row) for row in connection.execute(FILES_OF_JOB, {"job": job_id}).mappings()]


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
                "cached": file.cached,
            }
            for file in ended
        ]
    )


# --- statements, built once: SQLAlchemy takes several times as long to build one as to run it ---------------------

FILES_OF_JOB = select(files).where(files.c.job_id == bindparam("job")).order_by(files.c.position)
END_FILE = (
    update(files)
    .where(files.c.id == bindparam("file"), files.c.lease_token == bindparam("token"), files.c.status == IS_PROCESSING)
    .values(
        status=bindparam("new_status"),
        attempts=files.c.attempts + 1,
        completed_at=bindparam("moment"),
        lease_token=None,
        lease_expires_at=None,
        **{name: bindparam(name) for name in (*RESULT, "seconds", "error_code", "error_message")},
    )
    .returning(files.c.job_id)
)
COUNT_IN_JOB = (
    update(jobs)
    .where(jobs.c.id == bindparam("job"))
    .values(
        processed_files=jobs.c.processed_files + bindparam("completed"),
        failed_files=jobs.c.failed_files + bindparam("failed"),
        changed=bindparam("number"),
    )
    .returning(jobs.c.total_files, jobs.c.processed_files, jobs.c.failed_files)
)
END_JOB = (
    update(jobs)
    .where(jobs.c.id == bindparam("job"))
    .values(
        status=bindparam("new_status"),
        completed_at=bindparam("moment"),
        kept_since=bindparam("moment"),
        error_message=bindparam("reason"),
        results=bindparam("written"),
    )
)
