"""Submit: from a multipart body to a queued job."""

import contextlib
import logging
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from database.key_store import KnownKey, Reservation
from errors import IllegalTransition, NoFiles, ServiceError
from models.weights import WeightStore
from queue_manager import QueueManager
from submission import Queued, Submission
from web import multipart, schemas
from web.dependencies import NO_ROOM, PROBLEM, Service, WholeService
from web.door import QUEUE, Door
from web.parameters import Parameters, documented, parameters_of
from web.queue_routes import viewed
from web.waiting import preferred_seconds

logger = logging.getLogger(__name__)

UPLOAD = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["images"],
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
                    },
                }
            }
        },
    }
}
router = APIRouter(prefix="/queue", tags=["queue"], responses=PROBLEM)


IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="The same key with the same pictures within 24 hours answers the same job.",
    ),
]


@router.post(
    "/submit",
    status_code=202,
    response_model=schemas.SubmittedView,
    responses=NO_ROOM | {200: {"model": schemas.JobView, "description": "The job, when it has ended in time."}},
    openapi_extra=UPLOAD | {"parameters": documented()},
)
async def submit(
    request: Request,
    response: Response,
    service: WholeService,
    idempotency_key: IdempotencyKey = None,
    prefer: Annotated[
        str | None, Header(description="wait=N: the answer is the job once it has ended, within N seconds.")
    ] = None,
) -> schemas.SubmittedView | Response:
    """Queue pictures. They are on disk and in the database before the answer comes."""
    queued = await take(request, service, QUEUE, idempotency_key)
    response.headers["Location"] = f"/queue/job/{queued.job.id}"
    if queued.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    seconds = preferred_seconds(request.headers)
    if seconds is None or not await ended_in_time(request, service, queued, seconds, idempotency_key):
        return submitted_view(queued)
    view = await run_in_threadpool(viewed, service.queue, queued.job.id)
    headers = {**response.headers, "Preference-Applied": "wait"}
    return JSONResponse(view.model_dump(mode="json"), headers=headers)


async def ended_in_time(
    request: Request, service: Service, queued: Queued, seconds: float, idempotency_key: str | None
) -> bool:
    """Whether the job has ended within so many seconds, or those of the settings.

    Raises ClientDisconnect when the client hung up. Its job is cancelled then, unless it came with an idempotency key:
    who sends one means to ask again.
    """
    job_id = queued.job.id
    try:
        return await service.waiting.until_end(job_id, min(seconds, service.settings.max_wait_seconds), request)
    except ClientDisconnect:
        if idempotency_key is None:
            logger.info("job %s: its client hung up", job_id)
            with contextlib.suppress(IllegalTransition):  # it has ended meanwhile
                await run_in_threadpool(service.queue.cancel_job, job_id, force=True)
        raise


async def take(request: Request, service: Service, door: Door, idempotency_key: str | None) -> Queued:
    """Read a request's pictures and queue them."""
    keys = service.queue.keys
    key = None if idempotency_key is None else await run_in_threadpool(keys.reserve, idempotency_key)
    try:
        return await receive_and_queue(request, service, door, key)
    except BaseException:  # a cancelled request must not hold its key either
        if isinstance(key, Reservation):
            await run_in_threadpool(keys.release, key)
        raise


async def receive_and_queue(
    request: Request, service: Service, door: Door, key: Reservation | KnownKey | None
) -> Queued:
    queue, default_model = service.queue, service.settings.default_model
    # Before the pictures: nobody should upload them for nothing.
    parameters_of(door.parameters(request.query_params, {}), {}, default_model)
    length = request.headers.get("content-length", "")
    expected_bytes = int(length) if length.isdecimal() else 0
    submission = await run_in_threadpool(queue.begin_submission, expected_bytes, isinstance(key, KnownKey))
    if door.file_fields.one_picture:
        submission.limits = replace(submission.limits, max_files_per_job=1)
    try:

        def keep_alive() -> None:
            if isinstance(key, Reservation):
                queue.keys.renew(key)

        fields = await multipart.receive(request, submission, keep_alive, door.file_fields)
        if not submission.accepted and not submission.rejected:
            raise NoFiles(f"No picture came with the request. Send one in the field {door.file_fields.pictures[0]!r}.")
        attachments = {name: file.input_sha256 for name, file in submission.attachments.items()}
        parameters = parameters_of(door.parameters(request.query_params, fields), attachments, default_model)
    except BaseException:  # a cancelled request must not leave bytes behind
        await run_in_threadpool(submission.discard)
        raise
    return await run_in_threadpool(enqueue, queue, service.weights, submission, parameters, key)


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
