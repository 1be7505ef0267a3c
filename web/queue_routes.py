"""The queue over HTTP: submit, look, download, cancel, pause."""

import base64
import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from errors import InvalidRequest, ServiceError
from job import JobStatus
from models import catalog
from models.weights import WeightStore
from queue_manager import Queued, QueueManager
from settings import Settings
from submission import Submission
from web import multipart, results, schemas
from web.access import own_origin

PROBLEM: dict[int | str, dict[str, Any]] = {
    "4XX": {
        "description": "What was wrong, as a problem (RFC 9457).",
        "content": {"application/problem+json": {"schema": schemas.ProblemView.model_json_schema()}},
    }
}
UPLOAD = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [multipart.FILES_FIELD],
                    "properties": {
                        multipart.FILES_FIELD: {
                            "type": "array",
                            "items": {"type": "string", "format": "binary"},
                            "description": "One or more pictures: JPEG, PNG, WebP, BMP, TIFF, GIF, HEIC or AVIF.",
                        }
                    },
                }
            }
        },
    }
}
PICTURE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/png": {}, results.ZIP_TYPE: {}}, "description": "The picture; of a batch, a ZIP."}
}

router = APIRouter(prefix="/queue", tags=["queue"], responses=PROBLEM)


def queue_of(request: Request) -> QueueManager:
    queue: QueueManager = request.app.state.queue
    return queue


def settings_of(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


def weights_of(request: Request) -> WeightStore:
    weights: WeightStore = request.app.state.weights
    return weights


Queue = Annotated[QueueManager, Depends(queue_of)]
ServiceSettings = Annotated[Settings, Depends(settings_of)]
Weights = Annotated[WeightStore, Depends(weights_of)]


@router.post("/submit", status_code=202, openapi_extra=UPLOAD)
async def submit(
    request: Request,
    response: Response,
    queue: Queue,
    settings: ServiceSettings,
    weights: Weights,
    model: Annotated[str | None, Query(description="A name from /models; the default model when left out.")] = None,
    on_invalid: Annotated[
        Literal["reject", "skip"], Query(description="reject: one bad file refuses all. skip: take the good ones.")
    ] = "reject",
) -> schemas.SubmittedView:
    """Queue pictures. They are on disk and in the database before the answer comes."""
    submission = await run_in_threadpool(queue.begin_submission)
    try:
        fields = await multipart.receive(request, submission)
        unknown = sorted((fields.keys() | request.query_params.keys()) - {"model", "on_invalid"})
        if unknown:
            raise InvalidRequest(f"Unknown parameter: {', '.join(unknown)}. Known are model and on_invalid.")
        if fields.get("on_invalid", on_invalid) not in ("reject", "skip"):
            raise InvalidRequest(f"on_invalid is 'reject' or 'skip', not {fields['on_invalid']!r}.")
    except BaseException:  # a cancelled request must not leave bytes behind either
        await run_in_threadpool(submission.discard)
        raise
    queued = await run_in_threadpool(
        enqueue,
        queue,
        weights,
        submission,
        model or fields.get("model") or settings.default_model,
        fields.get("on_invalid", on_invalid) == "skip",
    )
    response.headers["Location"] = f"/queue/job/{queued.job.id}"
    return submitted_view(queued)


def enqueue(
    queue: QueueManager, weights: WeightStore, submission: Submission, model_name: str, skip_invalid: bool
) -> Queued:
    try:
        model = catalog.find(model_name)
        weights.check_usable(model)
    except ServiceError:
        submission.discard()
        raise
    return queue.submit(submission, model=model.name, skip_invalid=skip_invalid)


def submitted_view(queued: Queued) -> schemas.SubmittedView:
    return schemas.SubmittedView(
        job_id=queued.job.id,
        job_type=queued.job.job_type,
        files_count=queued.job.total_files,
        model=queued.job.model,
        # The braces are part of the message: older clients compare it.
        message="Job queued successfully. Check status with /queue/job/{job_id}",
        position=queued.position,
        rejected=[schemas.RejectedView.model_validate(file.as_dict()) for file in queued.submission.rejected],
    )


@router.get("/job/{job_id}")
def status(queue: Queue, job_id: str) -> schemas.JobView:
    """One job: its state, its progress and, once it has ended, its results."""
    job = queue.job(job_id)
    workers = [] if job.status.ended else queue.workers()
    return schemas.job_view(job, workers, queue.position(job), with_results=True)


@router.get("/jobs")
def jobs(
    queue: Queue,
    status: Annotated[JobStatus | None, Query(description="Only jobs in this state.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 20,
    cursor: Annotated[str | None, Query(description="`next` of the page before.")] = None,
) -> schemas.JobPageView:
    """Jobs, newest first."""
    page = queue.list_jobs(status, limit, None if cursor is None else decoded_cursor(cursor))
    workers = queue.workers()
    return schemas.JobPageView(
        total=page.total,
        jobs=[schemas.job_view(job, workers, None, with_results=False) for job in page.jobs],
        next=None if page.next is None else encoded_cursor(page.next),
    )


def encoded_cursor(place: tuple[str, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode()


def decoded_cursor(cursor: str) -> tuple[str, str]:
    """Raises InvalidRequest."""
    try:
        place = json.loads(base64.urlsafe_b64decode(cursor))
    except (ValueError, RecursionError):
        place = None
    match place:
        case [str(created_at), str(job_id)]:
            return created_at, job_id
    raise InvalidRequest("The cursor is not one that this service gave. Take `next` of the page before.")


@router.get("/stats")
def stats(queue: Queue, settings: ServiceSettings) -> schemas.StatsView:
    """Jobs by state, and what the worker does."""
    workers = queue.workers()
    states = [worker.state for worker in workers]
    status: Literal["running", "paused", "stopped"] = "running" if workers else "stopped"
    return schemas.StatsView(
        stats=schemas.CountsView.model_validate(queue.get_job_stats()),
        worker=schemas.WorkerView(
            status="paused" if workers and queue.is_paused() else status,
            active_jobs=queue.active_files(),
            max_concurrent=sum(worker.max_concurrent for worker in workers) or settings.max_concurrent,
            ready=any(state.get("ready") for state in states),
            warm_models=sorted({str(name) for state in states for name in as_list(state.get("warm_models"))}),
            trouble=next((str(state["trouble"]) for state in states if state.get("trouble")), None),
        ),
    )


def as_list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


@router.post("/job/{job_id}/cancel")
def cancel(
    queue: Queue,
    job_id: str,
    force: Annotated[bool, Query(description="Stop a running job too; what has finished stays.")] = False,
) -> schemas.ActView:
    """Cancel a pending job."""
    job = queue.cancel_job(job_id, force)
    return schemas.ActView(job_id=job.id, status=job.status, message="Job cancelled successfully")


@router.get("/job/{job_id}/result", response_class=Response, responses=PICTURE)
def result(request: Request, queue: Queue, job_id: str) -> Response:
    """The picture of a job of one file; a ZIP of a batch."""
    job = queue.job(job_id)
    if job.job_type == "single":
        return results.picture(request, queue.storage, queue.result(job_id, 0))
    return results.archive(request, queue.storage, job, queue.results(job_id))


@router.get("/job/{job_id}/result/{index}", response_class=Response, responses=PICTURE)
def nth_result(request: Request, queue: Queue, job_id: str, index: int) -> Response:
    """The picture of one file, counted from 0; there as soon as that file is finished."""
    return results.picture(request, queue.storage, queue.result(job_id, index))


@router.post("/pause", dependencies=[Depends(own_origin)])
def pause(queue: Queue) -> schemas.PauseView:
    """Finish what is running and begin nothing new."""
    queue.set_paused(True)
    return schemas.PauseView(paused=True)


@router.post("/resume", dependencies=[Depends(own_origin)])
def resume(queue: Queue) -> schemas.PauseView:
    """Go on after a pause."""
    queue.set_paused(False)
    return schemas.PauseView(paused=False)
