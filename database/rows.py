"""From rows to the frozen values of job.py."""

import json
from typing import Any

from sqlalchemy import RowMapping

from job import Job, JobFile, JobStatus, Priority, WorkerState


def parsed(text: str | None, empty: Any) -> Any:
    """JSON that an earlier service may have written: what cannot be read counts as empty, so its job stays listed."""
    if not text:
        return empty
    try:
        value = json.loads(text)
    except ValueError:
        return empty
    return value if isinstance(value, type(empty)) else empty


def to_job(row: RowMapping) -> Job:
    """A row of `jobs`, of which a list leaves out the results."""
    written = row.get("results")
    results = parsed(written, [])
    return Job(
        id=row["id"],
        status=JobStatus(row["status"]),
        created_at=row["created_at"],
        started_at=row["started_at"],
        completed_at=row["completed_at"],
        job_type=row["job_type"],
        filenames=tuple(parsed(row["filenames"], [])),
        total_files=row["total_files"] or 0,
        processed_files=row["processed_files"] or 0,
        failed_files=row["failed_files"] or 0,
        operation=row["operation"],
        model=row["model"] or "",
        priority=Priority.of_rank(row["priority"]),
        error_message=row["error_message"],
        results=tuple(results) if written else None,
        metadata=parsed(row["metadata"], {}),
        changed=row["changed"],
    )


def to_file(row: RowMapping) -> JobFile:
    return JobFile(
        id=row["id"],
        job_id=row["job_id"],
        position=row["position"],
        filename=row["filename"],
        status=JobStatus(row["status"]),
        operation=row["operation"],
        model=row["model"],
        params=parsed(row["params"], {}),
        priority=Priority.of_rank(row["priority"]),
        attempts=row["attempts"],
        input_key=row["input_key"],
        input_bytes=row["input_bytes"],
        input_sha256=row["input_sha256"],
        input_format=row["input_format"],
        lease_token=row["lease_token"],
        output_key=row["output_key"],
        output_bytes=row["output_bytes"],
        output_sha256=row["output_sha256"],
        content_type=row["content_type"],
        extension=row["extension"],
        width=row["width"],
        height=row["height"],
        seconds=row["seconds"],
        completed_at=row["completed_at"],
        error_code=row["error_code"],
        error_message=row["error_message"],
        notes=parsed(row["notes"], {}),
        reuse_key=row["reuse_key"],
        cached=bool(row["cached"]),
    )


def to_worker(row: RowMapping) -> WorkerState:
    return WorkerState(**{**row, "state": parsed(row["state"], {})})
