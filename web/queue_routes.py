"""The queue over HTTP: look and download."""

import base64
import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response

from errors import InvalidRequest
from job import timestamp
from queue_manager import QueueManager
from web import results, schemas
from web.dependencies import PROBLEM, Queue, ServiceSettings
from web.filters import ListQuery
from worker_report import seconds_for

PICTURE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/png": {}, results.ZIP_TYPE: {}}, "description": "The picture; of a batch, a ZIP."}
}

GIVEN: dict[int | str, dict[str, Any]] = {200: {"content": {"image/*": {}}, "description": "The picture as it came."}}

router = APIRouter(prefix="/queue", tags=["queue"], responses=PROBLEM)


@router.get("/job/{job_id}")
def status(queue: Queue, job_id: str) -> schemas.JobView:
    """One job: its state, its progress and, once it has ended, its results."""
    return viewed(queue, job_id)


def viewed(queue: QueueManager, job_id: str) -> schemas.JobView:
    with queue.database.read():
        job = queue.job(job_id)
        position = queue.position(job)
        workers = [] if job.status.ended else queue.workers()
        return schemas.job_view(
            job,
            workers,
            with_results=True,
            position=position,
            wait_seconds=seconds_for(position, workers),
            next_attempt=queue.next_attempt(job),
            paused=not job.status.ended and queue.is_paused(),
        )


@router.get("/jobs")
def jobs(queue: Queue, asked: Annotated[ListQuery, Query()]) -> schemas.JobPageView:
    """Jobs, newest first; those to which all of the filters apply."""
    before = None if asked.cursor is None else decoded_cursor(asked.cursor)
    as_of = timestamp(queue.clock())
    with queue.database.read():
        page, workers = queue.board.jobs(asked.meant(), asked.limit, before), queue.workers()
    return schemas.JobPageView(
        total=page.total,
        total_is_exact=page.total_is_exact,
        jobs=[schemas.job_view(job, workers, with_results=False) for job in page.jobs],
        next=None if page.next is None else encoded_cursor(page.next),
        as_of=as_of,
    )


def encoded_cursor(place: tuple[str, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode()


def decoded_cursor(cursor: str) -> tuple[str, str]:
    """Raises InvalidRequest."""
    try:
        place = json.loads(base64.urlsafe_b64decode(cursor))
        json.dumps(place, ensure_ascii=False).encode()  # no lone surrogates: no database takes them
    except (ValueError, RecursionError):
        place = None
    match place:
        case [str(created_at), str(job_id)]:
            return created_at, job_id
    raise InvalidRequest("The cursor is not one that this service gave. Take `next` of the page before.")


@router.get("/stats")
def stats(queue: Queue, settings: ServiceSettings) -> schemas.StatsView:
    """Jobs by state, and what the worker does."""
    with queue.database.read():
        counts, pulse = queue.get_job_stats(), queue.board.pulse()
        workers, paused = queue.workers(), queue.is_paused()
    states = [worker.state for worker in workers]
    status: Literal["running", "paused", "stopped"] = "running" if workers else "stopped"
    slots = sum(worker.max_concurrent for worker in workers) or settings.max_concurrent
    return schemas.StatsView(
        stats=schemas.CountsView.model_validate(counts),
        worker=schemas.WorkerView(
            status="paused" if workers and paused else status,
            # What is claimed beyond the slots waits for one of them.
            active_jobs=min(pulse.processing_files, slots),
            max_concurrent=slots,
            ready=any(state.get("ready") for state in states),
            warm_models=sorted({str(name) for state in states for name in as_list(state.get("warm_models"))}),
            downloads={name: told for state in states for name, told in as_mapping(state.get("downloads")).items()},
            trouble=next((str(state["trouble"]) for state in states if state.get("trouble")), None),
        ),
        paused=paused,
        files=schemas.WaitingFilesView(pending=pulse.pending_files, processing=pulse.processing_files),
        oldest_waiting_at=pulse.oldest_waiting_at,
        per_minute=pulse.per_minute,
    )


def as_list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def as_mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


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


@router.get("/job/{job_id}/input/{index}", response_class=Response, responses=GIVEN)
def nth_input(request: Request, queue: Queue, job_id: str, index: int) -> Response:
    """The picture that was given, as it came: until its job expires, or is cancelled before its turn."""
    return results.given_picture(request, queue.storage, queue.file(job_id, index))
