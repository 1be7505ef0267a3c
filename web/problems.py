"""From error to HTTP: the only place that knows both. Answers are RFC 9457 problems."""

import logging
import math
from collections.abc import Iterator, Mapping
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import compile_path

import errors

logger = logging.getLogger(__name__)

# The nearest base class counts.
STATUS: Mapping[type[errors.ServiceError], HTTPStatus] = {
    errors.ServiceError: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.InvalidRequest: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.MalformedUpload: HTTPStatus.BAD_REQUEST,
    errors.TooManyFiles: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.RequestTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.QueueFull: HTTPStatus.TOO_MANY_REQUESTS,
    errors.SubmitInProgress: HTTPStatus.CONFLICT,
    errors.JobNotFound: HTTPStatus.NOT_FOUND,
    errors.ResultNotFound: HTTPStatus.NOT_FOUND,
    errors.PreviewNotFound: HTTPStatus.NOT_FOUND,
    errors.JobExpired: HTTPStatus.GONE,
    errors.BlobMissing: HTTPStatus.GONE,
    errors.JobNotFinished: HTTPStatus.CONFLICT,
    errors.ResultUnavailable: HTTPStatus.CONFLICT,
    errors.IllegalTransition: HTTPStatus.CONFLICT,
    errors.Unauthorized: HTTPStatus.UNAUTHORIZED,
    errors.ForeignOrigin: HTTPStatus.FORBIDDEN,
    errors.DatabaseError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.DatabaseFull: HTTPStatus.INSUFFICIENT_STORAGE,
    errors.StorageError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.StorageFull: HTTPStatus.INSUFFICIENT_STORAGE,
    errors.NotInTime: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.WorkerUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.ServiceStopping: HTTPStatus.SERVICE_UNAVAILABLE,
}

# Told to everybody, whatever the error said to the log: it may name files of this host.
RETRY_SOON = "The service cannot do this at the moment. Please try again in a few seconds."
BROKEN = "The service failed on this request. The operator finds the reason in its log."


def status_of(error: errors.ServiceError) -> HTTPStatus:
    kind = type(error)
    if isinstance(error, errors.FailedPicture):
        # The other codes are those of pictures that can never be processed.
        kind = next((kind for kind in every_kind() if kind.code == error.code), errors.InvalidRequest)
    return next(STATUS[base] for base in kind.__mro__ if base in STATUS)


def every_kind(base: type[errors.ServiceError] = errors.ServiceError) -> Iterator[type[errors.ServiceError]]:
    yield base
    for kind in base.__subclasses__():
        yield from every_kind(kind)


def problem(
    status: HTTPStatus, code: str, detail: str, members: Mapping[str, object], headers: Mapping[str, str] | None = None
) -> JSONResponse:
    body = {"type": "about:blank", "title": status.phrase, "status": status, "detail": detail, "code": code, **members}
    return JSONResponse(body, status, headers=headers, media_type="application/problem+json")


def problem_of(error: errors.ServiceError) -> JSONResponse:
    """The answer for an error; what only an operator may know is left out."""
    status = status_of(error)
    headers = {}
    detail = error.detail
    if status is HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="queue"'
    if error.retry_after is not None:
        headers["Retry-After"] = str(math.ceil(error.retry_after))
    if isinstance(error, errors.NotInTime):
        headers["X-Job-Id"] = error.job_id
    # Of a picture that is late or has failed everybody may know why.
    elif status is HTTPStatus.SERVICE_UNAVAILABLE and not isinstance(error, errors.FailedPicture):
        detail = RETRY_SOON
    elif status is HTTPStatus.INTERNAL_SERVER_ERROR and not isinstance(error, errors.FailedPicture):
        detail = BROKEN
    return problem(status, error.code, detail, error.members(), headers)


def methods_at(request: Request) -> list[str]:
    """Of all routes at this address: Starlette names those of the first."""
    return sorted(
        method.upper()
        for path, operations in request.app.openapi()["paths"].items()
        if compile_path(path)[0].fullmatch(request.url.path)
        for method in operations
    )


def register(app: FastAPI) -> None:
    @app.exception_handler(errors.ServiceError)
    def of_the_service(request: Request, error: errors.ServiceError) -> JSONResponse:
        answer = problem_of(error)
        # The worker has told of a picture that has failed.
        if answer.status_code >= 500 and not isinstance(error, errors.FailedPicture):
            # What passes by itself would otherwise write a traceback for every request that meets it.
            defect = error if answer.status_code == HTTPStatus.INTERNAL_SERVER_ERROR else None
            logger.error("%s %s: %s: %s", request.method, request.url.path, error.code, error, exc_info=defect)
        return answer

    @app.exception_handler(ClientDisconnect)
    def of_nobody(request: Request, error: ClientDisconnect) -> Response:
        # The client hung up: nobody reads this. nginx writes this number into its log then.
        return Response(status_code=499)

    @app.exception_handler(RequestValidationError)
    def of_the_request(request: Request, error: RequestValidationError) -> JSONResponse:
        faults = [
            {"where": ".".join(str(part) for part in fault["loc"]), "reason": fault["msg"]} for fault in error.errors()
        ]
        detail = "The request is not valid: " + "; ".join(f"{fault['where']}: {fault['reason']}" for fault in faults)
        return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_request", detail + ".", {"errors": faults})

    @app.exception_handler(HTTPException)
    def of_http(request: Request, error: HTTPException) -> JSONResponse:
        status = HTTPStatus(error.status_code)
        if status is HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return problem_of(errors.RequestTooLarge("The body is larger than anything that is wanted here."))
        detail = {
            HTTPStatus.NOT_FOUND: f"There is nothing at {request.url.path}. The addresses are listed at /docs.",
            HTTPStatus.METHOD_NOT_ALLOWED: f"{request.url.path} does not take {request.method}.",
        }.get(status, str(error.detail))
        # FastAPI says so of a body that is no JSON.
        bad = status is HTTPStatus.BAD_REQUEST
        code = errors.InvalidRequest.code if bad else status.phrase.lower().replace(" ", "_")
        headers = dict(error.headers or {})
        if status is HTTPStatus.METHOD_NOT_ALLOWED and (methods := methods_at(request)):
            headers["Allow"] = ", ".join(methods)
        return problem(status, code, detail, {}, headers)

    @app.exception_handler(Exception)
    def of_ours(request: Request, error: Exception) -> JSONResponse:
        # Starlette logs the traceback itself after this answer.
        return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", BROKEN, {})
