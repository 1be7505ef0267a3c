"""Small pictures of what came and of what was made of it, for lists and pages."""

import hashlib
from typing import Any

from fastapi import APIRouter, Request, Response

from errors import BlobMissing, JobNotFinished, PreviewNotFound, ResultUnavailable
from job import PREVIEW_TYPES, PreviewOf, preview_key
from queue_manager import QueueManager
from web import results
from web.dependencies import PROBLEM, Queue

PREVIEW: dict[int | str, dict[str, Any]] = {
    200: {"content": {kind: {} for kind in PREVIEW_TYPES.values()}, "description": "The preview."},
    304: {"description": "The client has it already."},
}

router = APIRouter(prefix="/queue", tags=["queue"], responses=PROBLEM)


@router.get("/job/{job_id}/preview/{index}/{of}", response_class=Response, responses=PREVIEW)
def preview(request: Request, queue: Queue, job_id: str, index: int, of: PreviewOf) -> Response:
    """A finished file in small: the picture that came (JPEG), or its result (PNG); at most 320 pixels a side."""
    data = stored_preview(queue, job_id, index, of)
    etag = f'"{hashlib.sha256(data).hexdigest()}"'
    unchanged = results.not_modified(request, etag)
    if unchanged is not None:
        return unchanged
    headers = {"ETag": etag, "Cache-Control": results.CACHE_CONTROL, "X-Content-Type-Options": "nosniff"}
    return Response(data, media_type=PREVIEW_TYPES[of], headers=headers)


def stored_preview(queue: QueueManager, job_id: str, index: int, of: PreviewOf) -> bytes:
    """Raises JobNotFound, JobExpired, ResultNotFound and PreviewNotFound."""
    try:
        file = queue.result(job_id, index)
    except (JobNotFinished, ResultUnavailable) as error:
        raise PreviewNotFound(f"There is no preview. {error}") from error
    try:
        data = queue.storage.get(preview_key(str(file.output_key), of))
    except BlobMissing:
        data = b""
    if not data:  # made by an earlier version, or lost in a power cut: previews are not flushed to the disk
        raise PreviewNotFound(f"There is no preview of {file.filename}: take its result instead.")
    return data
