"""Submit: from a form, JSON or addresses to a queued job."""

from typing import Annotated

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from submission import Queued
from web import json_body, schemas
from web.dependencies import NO_ROOM, PROBLEM, WholeService
from web.door import QUEUE
from web.parameters import documented
from web.queue_routes import viewed
from web.sources import FIELDS, PARAMETERS
from web.taking import ended_in_time, take
from web.waiting import preferred_seconds

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
    openapi_extra=DOCUMENTED,
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
