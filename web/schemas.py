"""The shapes of answers. Times are UTC, RFC 3339; sizes in pixels and bytes; durations in seconds."""

from typing import Literal

from pydantic import BaseModel, Field

from job import Job, JobStatus, Priority, WorkerState

RESULT_PATH = "/queue/job/{job_id}/result"


class RejectedView(BaseModel):
    index: int = Field(description="Place of the file in the request, from 0.")
    filename: str
    code: str
    reason: str


class SubmittedView(BaseModel):
    job_id: str
    status: Literal["queued"] = "queued"
    job_type: str
    files_count: int
    model: str = Field(description="The model really used: aliases are resolved.")
    message: str
    position: int | None = Field(
        description="Place in the queue of the job's first file, 1 being next; null when it has begun already."
    )
    estimated_wait_seconds: float | None = Field(description="Until that file has ended; null while unknown.")
    priority: Priority
    rejected: list[RejectedView] = Field(description="Files that were left out (on_invalid=skip).")


class ProgressView(BaseModel):
    total: int
    processed: int = Field(description="Files that succeeded.")
    failed: int


class FileResultView(BaseModel):
    index: int
    filename: str
    status: JobStatus
    url: str | None
    content_type: str | None
    width: int | None
    height: int | None
    bytes: int | None
    sha256: str | None
    model: str
    seconds: float | None
    error: str | None
    error_code: str | None
    attempts: int
    notes: dict[str, object]
    cached: bool = Field(False, description="An earlier result of the same picture and parameters was taken.")


class JobView(BaseModel):
    id: str
    status: JobStatus
    type: str
    created_at: str
    started_at: str | None
    completed_at: str | None
    progress: ProgressView
    model: str
    operation: str
    filenames: list[str]
    results: list[FileResultView] | None
    error: str | None
    failed_files: int
    phase: Literal["queued", "downloading_model", "running"] | None
    phase_detail: str | None
    position: int | None = Field(description="Place in the queue of the next file that waits; null when none does.")
    estimated_wait_seconds: float | None = Field(description="Until that file has ended; null while unknown.")
    priority: Priority
    attempts: int = Field(description="Failed attempts of the file that is tried again next.")
    next_attempt_at: str | None
    metadata: dict[str, object]


class JobPageView(BaseModel):
    total: int = Field(description="All jobs that match the filter.")
    total_is_exact: bool = Field(description="Or there may be more than `total`: nobody counted on.")
    jobs: list[JobView]
    next: str | None = Field(description="Pass as `cursor` to get the next page.")
    as_of: str = Field(description="When this was so: an act that is given it means no later jobs.")


class CountsView(BaseModel):
    pending: int
    processing: int
    completed: int
    failed: int
    cancelled: int
    total: int


class DownloadView(BaseModel):
    done: int = Field(description="Bytes that are here.")
    total: int | None = Field(description="Bytes in all; null while unknown.")


class WorkerView(BaseModel):
    status: Literal["running", "paused", "stopped"]
    active_jobs: int = Field(description="Pictures being worked on at this moment.")
    max_concurrent: int
    ready: bool = Field(description="The default model is loaded.")
    warm_models: list[str]
    downloads: dict[str, DownloadView] = Field(description="Weights that are being downloaded, by model.")
    trouble: str | None


class WaitingFilesView(BaseModel):
    pending: int
    processing: int = Field(description="Claimed by workers, also those that wait for a slot.")


class StatsView(BaseModel):
    stats: CountsView
    worker: WorkerView
    paused: bool
    files: WaitingFilesView
    oldest_waiting_at: str | None = Field(
        description="Since when the picture at the head of the queue waits; of the three priorities the earliest."
    )
    per_minute: float = Field(description="Pictures that end in a minute, by the last five, or since work began again.")


class ResetView(BaseModel):
    """Data of the event `reset`: what a stream told before does not lead to what is now, so lists must be loaded."""

    reason: str


class ActView(BaseModel):
    job_id: str
    status: JobStatus
    message: str


class PauseView(BaseModel):
    paused: bool


class LimitsView(BaseModel):
    max_files_per_job: int
    max_upload_bytes: int
    max_request_bytes: int
    max_megapixels: float


class HealthView(BaseModel):
    status: Literal["healthy"] = "healthy"
    version: str
    limits: LimitsView


class ReadyView(BaseModel):
    status: Literal["ready", "not_ready"]
    reason: str | None


class ModelView(BaseModel):
    name: str
    aliases: list[str]
    default: bool
    installed: bool
    usable: bool
    reason: str | None
    bytes: int | None
    input_size: int | None = Field(description="Side in pixels of the square that the model looks at.")
    licence: str
    commercial_use: str
    kind: str
    summary: str


class ModelsView(BaseModel):
    default: str
    models: list[ModelView]
    refiners: list[ModelView] = Field(description="What makes the masks of models better: parameters of that name.")


class ProblemView(BaseModel):
    """RFC 9457, as application/problem+json; `code` is stable for programs."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    parameter: str | None = Field(None, description="The first that is wrong or unknown.")
    rejected: list[RejectedView] | None = None


# Of what every version since the first has written.
OUR_KEYS = {name for name, field in FileResultView.model_fields.items() if field.is_required()} - {"url"}


def result_views(job: Job) -> list[FileResultView] | None:
    """One entry for every file with the address of its picture; None before the end.

    A job of the earlier service has results of another shape, or none: it shows an empty list.
    """
    if not job.status.ended:
        return None
    base = RESULT_PATH.format(job_id=job.id)
    return [
        FileResultView.model_validate(
            {**entry, "url": f"{base}/{entry['index']}" if entry["status"] == JobStatus.COMPLETED else None}
        )
        for entry in job.results or ()
        if isinstance(entry, dict) and entry.keys() >= OUR_KEYS
    ]


def phase_of(job: Job, workers: list[WorkerState]) -> tuple[str | None, str | None]:
    """What the job is doing, and a sentence on it."""
    if job.status.ended:
        return None, None
    for worker in workers:
        downloads = worker.state.get("downloads")
        progress = downloads.get(job.model) if isinstance(downloads, dict) else None
        if progress is not None:
            done, total = progress["done"] / 1e6, progress["total"]
            amount = f"{done:.0f} of {total / 1e6:.0f} MB" if total else f"{done:.0f} MB"
            return "downloading_model", f"The weights of {job.model} are being downloaded: {amount}."
    return ("queued" if job.status is JobStatus.PENDING else "running"), None


def job_view(
    job: Job,
    workers: list[WorkerState],
    with_results: bool,
    position: int | None = None,
    wait_seconds: float | None = None,
    next_attempt: tuple[int, str] | None = None,
    paused: bool = False,
) -> JobView:
    phase, phase_detail = phase_of(job, workers)
    if paused and phase_detail is None:
        phase_detail = "The queue is paused: nothing is begun until somebody resumes it."
    return JobView.model_validate(
        {
            "id": job.id,
            "status": job.status,
            "type": job.job_type,
            "created_at": job.created_at,
            "started_at": job.started_at,
            "completed_at": job.completed_at,
            "progress": {"total": job.total_files, "processed": job.processed_files, "failed": job.failed_files},
            "model": job.model,
            "operation": job.operation,
            "filenames": list(job.filenames),
            "results": result_views(job) if with_results else None,
            "error": job.error_message,
            "failed_files": job.failed_files,
            "phase": phase,
            "phase_detail": phase_detail,
            "position": position,
            "estimated_wait_seconds": wait_seconds,
            "priority": job.priority,
            "attempts": next_attempt[0] if next_attempt else 0,
            "next_attempt_at": next_attempt[1] if next_attempt else None,
            "metadata": dict(job.metadata),
        }
    )
