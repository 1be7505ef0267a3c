"""The shapes of answers to those who watch the queue. Times are UTC, RFC 3339; sizes in pixels and bytes."""

from pydantic import BaseModel, Field

from board import Bench
from database.history_store import Line
from job import JobFile, JobStatus
from web.schemas import RESULT_PATH

PREVIEW_PATH = "/queue/job/{job_id}/preview"


class MinuteView(BaseModel):
    at: str = Field(description="The minute's begin.")
    completed: int
    failed: int


class ThroughputView(BaseModel):
    minutes: list[MinuteView] = Field(description="Oldest first; the last one has not ended yet.")


class InHandView(BaseModel):
    job_id: str
    index: int
    filename: str
    model: str
    started_at: str = Field(description="When the worker took it.")


class BenchView(BaseModel):
    id: str
    machine: str
    pid: int
    started_at: str
    heartbeat_at: str
    status: str
    max_concurrent: int
    warm_models: list[str]
    trouble: str | None
    running: list[InHandView]
    next: list[InHandView] = Field(description="Claimed already, for the next free slots.")


class WorkersView(BaseModel):
    workers: list[BenchView]


class FileView(BaseModel):
    index: int
    filename: str
    status: JobStatus
    attempts: int = Field(description="Those that have ended.")
    input_bytes: int
    input_format: str
    width: int | None = Field(description="Of the result.")
    height: int | None
    output_bytes: int | None
    content_type: str | None
    started_at: str | None = Field(description="Of the last attempt.")
    completed_at: str | None
    seconds: float | None
    error: str | None = Field(description="Of the last attempt that failed, also while another one is to come.")
    error_code: str | None
    next_attempt_at: str | None
    worker: str | None = Field(description="Who has it, or had it last.")
    cached: bool
    notes: dict[str, object]
    input_preview: str | None
    result_preview: str | None
    url: str | None


class FilesView(BaseModel):
    files: list[FileView]
    next: int | None = Field(description="Pass as `after` to get the next ones.")


def bench_view(bench: Bench) -> BenchView:
    worker = bench.worker
    warm, trouble = worker.state.get("warm_models"), worker.state.get("trouble")
    return BenchView(
        id=worker.id,
        machine=worker.machine,
        pid=worker.pid,
        started_at=worker.started_at,
        heartbeat_at=worker.heartbeat_at,
        status=worker.status,
        max_concurrent=worker.max_concurrent,
        warm_models=[str(name) for name in warm] if isinstance(warm, list) else [],
        trouble=None if trouble is None else str(trouble),
        running=[in_hand_view(file) for file in bench.running],
        next=[in_hand_view(file) for file in bench.next],
    )


def in_hand_view(file: JobFile) -> InHandView:
    return InHandView(
        job_id=file.job_id,
        index=file.position,
        filename=file.filename,
        model=file.model,
        started_at=file.started_at or "",
    )


def file_view(file: JobFile) -> FileView:
    done = file.status is JobStatus.COMPLETED
    preview = f"{PREVIEW_PATH.format(job_id=file.job_id)}/{file.position}"
    return FileView(
        index=file.position,
        filename=file.filename,
        status=file.status,
        attempts=file.attempts,
        input_bytes=file.input_bytes,
        input_format=file.input_format,
        width=file.width,
        height=file.height,
        output_bytes=file.output_bytes,
        content_type=file.content_type,
        started_at=file.started_at,
        completed_at=file.completed_at,
        seconds=file.seconds,
        error=file.error_message,
        error_code=file.error_code,
        next_attempt_at=file.next_attempt_at,
        worker=file.worker_id,
        cached=file.cached,
        notes=dict(file.notes),
        input_preview=f"{preview}/input" if done else None,
        result_preview=f"{preview}/result" if done else None,
        url=f"{RESULT_PATH.format(job_id=file.job_id)}/{file.position}" if done else None,
    )


class LineView(BaseModel):
    id: int
    at: str
    act: str = Field(
        description="cancel, retry, priority, pause, resume; failed, attempt_failed and worker_lost of a file."
    )
    by: str | None = Field(description="Address of whoever did it; python for a program on the service's side.")
    job_id: str | None
    index: int | None
    code: str | None
    detail: str | None


class HistoryView(BaseModel):
    history: list[LineView]
    next: int | None = Field(description="Pass as `cursor` to get the next ones.")


class RefusedView(BaseModel):
    job_id: str
    reason: str


class TallyView(BaseModel):
    changed: int
    refused: list[RefusedView] = Field(description="The first 20.")
    refused_count: int
    left: int = Field(description="Jobs that still match: repeat the request with this `as_of` until it is 0.")
    as_of: str


def line_view(line: Line) -> LineView:
    return LineView(
        id=line.id,
        at=line.at,
        act=line.act,
        by=line.by,
        job_id=line.job_id,
        index=line.position,
        code=line.code,
        detail=line.detail,
    )
