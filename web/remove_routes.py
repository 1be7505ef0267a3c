"""One picture in, its cutout out, in one request: through the same queue as every other."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from errors import FailedPicture, NotInTime
from job import JobFile, JobStatus, Priority
from queue_manager import QueueManager
from submission import Queued
from web import results, schemas
from web.dependencies import NO_ROOM, PROBLEM, Service, WholeService
from web.door import Door, Words
from web.multipart import QUEUE_FIELDS, FileFields
from web.parameters import documented
from web.queue_routes import PICTURE
from web.submit_routes import IdempotencyKey, submitted_view
from web.taking import ended_in_time, take
from web.waiting import preferred_seconds


def urgent(words: Words) -> dict[str, object]:
    """Somebody waits for it."""
    return {"priority": Priority.HIGH.value, **words}


DOOR = Door(
    FileFields(("image", "file", "images"), QUEUE_FIELDS.attachments, one_picture=True),
    urgent,
    own=frozenset({"wait"}),
)

BINARY = {"type": "string", "format": "binary"}
TEXT = {"type": "string"}
ADDRESSES = {
    "image_url": TEXT | {"description": "Address of the picture."},
    "image_job": TEXT | {"description": "A picture that an earlier job was given, as job id/index."},
    "background_image_url": TEXT | {"description": "Address of the picture behind the subject."},
}
TEXTS = ADDRESSES | {"image_b64": TEXT | {"description": "The picture in base64; in JSON."}}
UPLOAD: dict[str, Any] = {
    "parameters": [
        *({"name": name, "in": "query", "required": False, "schema": shape} for name, shape in ADDRESSES.items()),
        *documented(),
    ],
    "requestBody": {
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "image": BINARY | {"description": "The picture. The fields file and images do as well."},
                        "background_image": BINARY | {"description": "A picture that goes behind the subject."},
                        **ADDRESSES,
                    },
                }
            },
            "image/*": {"schema": BINARY},
            "application/json": {"schema": {"type": "object", "properties": TEXTS}},
        },
    },
}
FAILED: dict[int | str, dict[str, Any]] = {
    500: PROBLEM["4XX"] | {"description": "The picture could not be processed, as a problem (RFC 9457)."}
}
ANSWERS: dict[int | str, dict[str, Any]] = {
    **PICTURE,
    **NO_ROOM,
    202: {"model": schemas.SubmittedView, "description": "Not ready in time: the job goes on."},
    **FAILED,
}

router = APIRouter(tags=["at once"], responses=PROBLEM)


@router.post("/remove", response_class=Response, responses=ANSWERS, openapi_extra=UPLOAD)
async def remove(
    request: Request,
    service: WholeService,
    wait: Annotated[
        float | None, Query(ge=0, allow_inf_nan=False, description="Seconds after which the job is answered instead.")
    ] = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Send a picture, get the cutout. Hanging up cancels the work."""
    queued = await take(request, service, DOOR, idempotency_key)
    preferred = preferred_seconds(request.headers) if wait is None else wait
    seconds = service.settings.max_wait_seconds if preferred is None else preferred
    if await ended_in_time(request, service, queued, seconds, idempotency_key):
        answer = await run_in_threadpool(answer_with_picture, service.queue, queued.job.id)
    else:
        headers = {"X-Job-Id": queued.job.id, "Location": f"/queue/job/{queued.job.id}"}
        answer = JSONResponse(submitted_view(queued).model_dump(mode="json"), 202, headers)
    if queued.replayed:
        answer.headers["Idempotent-Replayed"] = "true"
    return answer


async def cut_out(request: Request, service: Service, door: Door) -> Response:
    """For clients that know nothing of jobs. Raises NotInTime; the picture is finished all the same."""
    queued = await take(request, service, door, None)
    await in_time(request, service, queued)
    return await run_in_threadpool(answer_with_picture, service.queue, queued.job.id)


async def in_time(request: Request, service: Service, queued: Queued) -> None:
    """Wait for the end of a job as long as may be. Raises NotInTime."""
    if not await ended_in_time(request, service, queued, service.settings.max_wait_seconds, None):
        raise NotInTime(f"Job {queued.job.id} is not finished yet.")


def answer_with_picture(queue: QueueManager, job_id: str) -> Response:
    answer = results.whole_picture(queue.storage, finished_picture(queue, job_id))
    answer.headers["X-Job-Id"] = job_id
    return answer


def finished_picture(queue: QueueManager, job_id: str) -> JobFile:
    """Of a job of one picture that has ended. Raises FailedPicture, and ResultUnavailable when it was cancelled."""
    with queue.database.read():
        job = queue.job(job_id)
        if job.status is JobStatus.FAILED and job.results:
            told = job.results[0]
            raise FailedPicture(str(told["error_code"]), str(told["error"]), job_id)
        return queue.result(job_id, 0)
