"""Submit: from a multipart body to a queued job."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.concurrency import run_in_threadpool

from database.key_store import KnownKey, Reservation
from errors import InvalidRequest, ServiceError
from job import Priority
from models import catalog
from models.weights import WeightStore
from operations.base import Compression
from queue_manager import QueueManager
from submission import Queued, Submission
from web import multipart, schemas
from web.dependencies import NO_ROOM, PROBLEM, Queue, ServiceSettings, Weights

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
router = APIRouter(prefix="/queue", tags=["queue"], responses=PROBLEM)


class Parameters(BaseModel):
    """What a submit says beside its files, in the query or as form fields; a field counts more."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = None
    on_invalid: Literal["reject", "skip"] = "reject"
    priority: Priority = Priority.NORMAL
    png_compression: Compression = "fast"
    cache: Literal["on", "off"] = "on"


def parameters_of(query: dict[str, Any], fields: dict[str, Any]) -> Parameters:
    """Raises InvalidRequest, which names what is wrong or unknown."""
    try:
        return Parameters.model_validate({**query, **fields})
    except ValidationError as error:
        unknown = sorted(str(fault["loc"][0]) for fault in error.errors() if fault["type"] == "extra_forbidden")
        if unknown:
            known = ", ".join(Parameters.model_fields)
            raise InvalidRequest(f"Unknown parameter: {', '.join(unknown)}. Known are {known}.") from error
        faults = "; ".join(f"{fault['loc'][0]}: {fault['msg']}" for fault in error.errors())
        raise InvalidRequest(f"The request is not valid: {faults}.") from error


@router.post("/submit", status_code=202, responses=NO_ROOM, openapi_extra=UPLOAD)
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
    priority: Annotated[Priority, Query(description="High before normal before low.")] = Priority.NORMAL,
    png_compression: Annotated[
        Compression, Query(description="fast; balanced: a few per cent smaller; small: about 10 %, and takes seconds.")
    ] = "fast",
    cache: Annotated[
        Literal["on", "off"], Query(description="on: a kept result of the same picture and parameters is taken again.")
    ] = "on",
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
        queued = await receive_and_queue(request, queue, settings.default_model, weights, key)
    except BaseException:  # a cancelled request must not hold its key either
        if isinstance(key, Reservation):
            await run_in_threadpool(queue.keys.release, key)
        raise
    response.headers["Location"] = f"/queue/job/{queued.job.id}"
    if queued.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return submitted_view(queued)


async def receive_and_queue(
    request: Request, queue: QueueManager, default_model: str, weights: WeightStore, key: Reservation | KnownKey | None
) -> Queued:
    length = request.headers.get("content-length", "")
    expected_bytes = int(length) if length.isdecimal() else 0
    submission = await run_in_threadpool(queue.begin_submission, expected_bytes, isinstance(key, KnownKey))
    try:

        def keep_alive() -> None:
            if isinstance(key, Reservation):
                queue.keys.renew(key)

        fields = await multipart.receive(request, submission, keep_alive)
        parameters = parameters_of(dict(request.query_params), fields)
    except BaseException:  # a cancelled request must not leave bytes behind
        await run_in_threadpool(submission.discard)
        raise
    return await run_in_threadpool(enqueue, queue, weights, submission, parameters, default_model, key)


def enqueue(
    queue: QueueManager,
    weights: WeightStore,
    submission: Submission,
    parameters: Parameters,
    default_model: str,
    key: Reservation | KnownKey | None,
) -> Queued:
    try:
        model = catalog.find(parameters.model or default_model)
        weights.check_usable(model)
    except ServiceError:
        submission.discard()
        raise
    return queue.submit(
        submission,
        model=model.name,
        params={"model": model.name, "png_compression": parameters.png_compression},
        priority=parameters.priority,
        skip_invalid=parameters.on_invalid == "skip",
        cache=parameters.cache == "on",
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
