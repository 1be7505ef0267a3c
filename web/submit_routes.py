"""Submit: from a form, JSON or addresses to a queued job."""

from typing import Annotated

from fastapi import APIRouter, Header, Request, Response
from starlette.concurrency import run_in_threadpool

from database.key_store import KnownKey, Reservation
from errors import ServiceError
from models.weights import WeightStore
from queue_manager import QueueManager
from submission import Queued, Submission
from web import json_body, multipart, schemas
from web.dependencies import NO_ROOM, PROBLEM, Fetching, Queue, ServiceSettings, Weights
from web.parameters import Parameters, documented, parameters_of
from web.sources import FIELDS, PARAMETERS, FetchSlots, Sources, without_sources

DOCUMENTED = {
    "parameters": [*PARAMETERS, *documented()],
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "images": {
                            "type": "array",
                            "items": {"type": "string", "format": "binary"},
                            "description": "One or more pictures: JPEG, PNG, WebP, BMP, TIFF, GIF, HEIC or AVIF.",
                        },
                        "background_image": {
                            "type": "string",
                            "format": "binary",
                            "description": "A picture that goes behind all subjects, scaled to cover each result.",
                        },
                        **FIELDS,
                    },
                }
            },
            "application/json": {"schema": json_body.SCHEMA},
        },
    },
}
router = APIRouter(prefix="/queue", tags=["queue"], responses=PROBLEM)


@router.post("/submit", status_code=202, responses=NO_ROOM, openapi_extra=DOCUMENTED)
async def submit(
    request: Request,
    response: Response,
    queue: Queue,
    settings: ServiceSettings,
    weights: Weights,
    fetching: Fetching,
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=1,
            max_length=255,
            description="The same key with the same pictures within 24 hours answers the same job.",
        ),
    ] = None,
) -> schemas.SubmittedView:
    """Queue pictures. They are on disk and in the database before the answer comes."""
    key = None if idempotency_key is None else await run_in_threadpool(queue.keys.reserve, idempotency_key)
    try:
        queued = await receive_and_queue(request, queue, settings.default_model, weights, fetching, key)
    except BaseException:  # a cancelled request must not hold its key either
        if isinstance(key, Reservation):
            await run_in_threadpool(queue.keys.release, key)
        raise
    response.headers["Location"] = f"/queue/job/{queued.job.id}"
    if queued.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return submitted_view(queued)


async def receive_and_queue(
    request: Request,
    queue: QueueManager,
    default_model: str,
    weights: WeightStore,
    fetching: FetchSlots,
    key: Reservation | KnownKey | None,
) -> Queued:
    # Before the pictures: nobody should upload them for nothing.
    query = without_sources(request.query_params)
    parameters_of(query, {}, default_model)
    length = request.headers.get("content-length", "")
    expected_bytes = int(length) if length.isdecimal() else 0
    submission = await run_in_threadpool(queue.begin_submission, expected_bytes, isinstance(key, KnownKey))
    try:

        def keep_alive() -> None:
            if isinstance(key, Reservation):
                queue.keys.renew(key)

        sources = Sources(submission)
        for name, value in request.query_params.multi_items():
            sources.take(name, value)
        if json_body.is_json(request):
            fields = await json_body.receive(request, submission, sources, keep_alive)
        elif "content-type" in request.headers or not sources:
            fields = await multipart.receive(request, submission, keep_alive, take_field=sources.take)
        else:  # the query says it all
            fields = {}
        attachments = {name: file.input_sha256 for name, file in submission.attachments.items()}
        # A form field counts more.
        parameters = parameters_of({**query, **fields}, attachments, default_model)
        await sources.fetch(request, fetching, keep_alive)
    except BaseException:  # a cancelled request must not leave bytes behind
        await run_in_threadpool(submission.discard)
        raise
    return await run_in_threadpool(enqueue, queue, weights, submission, parameters, key)


def enqueue(
    queue: QueueManager,
    weights: WeightStore,
    submission: Submission,
    parameters: Parameters,
    key: Reservation | KnownKey | None,
) -> Queued:
    try:
        weights.check_usable(parameters.model)
    except ServiceError:
        submission.discard()
        raise
    return queue.submit(
        submission,
        model=parameters.model.name,
        params=parameters.operation,
        priority=parameters.options.priority,
        skip_invalid=parameters.options.on_invalid == "skip",
        cache=parameters.options.cache == "on",
        key=key,
    )


def submitted_view(queued: Queued) -> schemas.SubmittedView:
    return schemas.SubmittedView(
        job_id=queued.job.id,
        job_type=queued.job.job_type,
        files_count=queued.job.total_files,
        model=queued.job.model,
        # The braces are part of the message: older clients compare it.
        message="Job queued successfully. Check status with /queue/job/{job_id}",
        position=queued.position,
        estimated_wait_seconds=queued.wait_seconds,
        priority=queued.job.priority,
        rejected=[schemas.RejectedView.model_validate(file.as_dict()) for file in queued.rejected],
    )
