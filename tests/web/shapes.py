"""Answers as the contract fixes them: each field by name and type. Further fields are allowed, as clients expect."""

from typing import Annotated, Any, Literal, TypeVar

import requests
from pydantic import Field, TypeAdapter
from typing_extensions import TypedDict

Moment = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")]
JobId = Annotated[str, Field(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")]
Status = Literal["pending", "processing", "completed", "failed", "cancelled"]
Count = Annotated[int, Field(ge=0)]


class Submitted(TypedDict):
    job_id: JobId
    status: Literal["queued"]
    job_type: Literal["single", "batch"]
    files_count: Count
    model: str
    message: Literal["Job queued successfully. Check status with /queue/job/{job_id}"]


class Progress(TypedDict):
    total: Count
    processed: Count
    failed: Count


class FileResult(TypedDict):
    filename: str
    status: Status
    url: str | None
    content_type: str | None
    width: Count | None
    height: Count | None
    bytes: Count | None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None
    model: str
    seconds: float | None
    error: str | None
    cached: bool


class JobShape(TypedDict):
    id: JobId
    status: Status
    type: Literal["single", "batch"]
    created_at: Moment
    started_at: Moment | None
    completed_at: Moment | None
    progress: Progress
    model: str
    filenames: list[str]
    results: list[FileResult] | None
    error: str | None
    failed_files: Count


class JobPage(TypedDict):
    total: Count
    jobs: list[JobShape]
    next: str | None


class Counts(TypedDict):
    pending: Count
    processing: Count
    completed: Count
    failed: Count
    cancelled: Count
    total: Count


class WorkerShape(TypedDict):
    status: str
    active_jobs: Count
    max_concurrent: Count


class Stats(TypedDict):
    stats: Counts
    worker: WorkerShape


class Cancelled(TypedDict):
    job_id: JobId
    status: Literal["cancelled"]
    message: Literal["Job cancelled successfully"]


class Health(TypedDict):
    status: Literal["healthy"]


class Problem(TypedDict):
    """RFC 9457, and the code that this service promises."""

    type: str
    title: str
    status: int
    detail: Annotated[str, Field(pattern=r"^\S+ .+\.$")]
    code: Annotated[str, Field(pattern=r"^[a-z_]+$")]


Shape = TypeVar("Shape")


def answer(response: requests.Response, status: int, shape: type[Shape]) -> Shape:
    """The body, which must be JSON of this shape: no missing field, no number in a string."""
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/json"
    return TypeAdapter(shape).validate_json(response.content, strict=True)


def problem(response: requests.Response, status: int, code: str) -> Any:
    """The body of a refusal, with all that is beside the promised fields."""
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    told = TypeAdapter(Problem).validate_json(response.content, strict=True)
    assert (told["status"], told["code"]) == (status, code), response.text
    return response.json()
