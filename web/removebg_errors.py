"""Every refusal under remove.bg's addresses, told as remove.bg tells its own."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from web.problems import BROKEN

PREFIX = "/v1.0/"


@dataclass(frozen=True)
class Told:
    """How remove.bg says it."""

    code: str
    title: str
    status: int = HTTPStatus.BAD_REQUEST


NOT_FETCHED = Told("failed_image_download", "Failed to download image from given image_url")
UNREADABLE = Told("failed_to_read_image", "There was an error reading the image.")
WRONG_TYPE = Told("invalid_file_type", "Invalid file type")
NO_BACKGROUND = Told("failed_bg_download", "Failed to read the background image")
TOO_MANY_PIXELS = Told("resolution_too_high", "Image resolution too high")
TOO_LARGE = Told("file_too_large", "File too large")

# From our codes, those of files included; every other keeps its code and status.
THEIRS: Mapping[str, Told] = {
    "unauthorized": Told("auth_failed", "API Key invalid", HTTPStatus.FORBIDDEN),
    "queue_full": Told("rate_limit_exceeded", "Rate limit exceeded", HTTPStatus.TOO_MANY_REQUESTS),
    "no_files": Told("missing_source", "No image given"),
    "too_many_files": Told("multiple_sources", "Multiple image sources given"),
    "several_backgrounds": Told("multiple_bg_sources", "Multiple background sources given"),
    "request_too_large": TOO_LARGE,
    "file_too_large": TOO_LARGE,
    "too_many_pixels": TOO_MANY_PIXELS,
    "not_a_picture": WRONG_TYPE,
    "unsupported_format": WRONG_TYPE,
    "empty_file": UNREADABLE,
    "broken_picture": UNREADABLE,
    "invalid_base64": UNREADABLE,
    "broken_header": Told("invalid_dimensions", "Failed to read image dimensions"),
    "invalid_url": Told("invalid_image_url", "Invalid image_url: Please provide a valid URL."),
    **dict.fromkeys(("fetch_failed", "fetch_timeout", "forbidden_url", "fetching_off"), NOT_FETCHED),
    "no_subject_found": Told("unknown_foreground", "Could not identify foreground in image."),
    "invalid_attachment": NO_BACKGROUND,
    "broken_background_image": NO_BACKGROUND,
    "invalid_roi": Told("invalid_roi", "Invalid roi parameter given"),
    "too_large_for_format": TOO_MANY_PIXELS,
    "malformed_upload": Told("invalid_request", "The request cannot be read"),
    "invalid_request": Told("invalid_request", "Invalid parameter given"),
}

# Where a parameter is wrong, the code names it as remove.bg does.
PARAMETERS: Mapping[str, str] = {
    "background_color": "bg_color",
    "output": "channels",
    "shadow": "add_shadow",
}


def told(problem: Mapping[str, object], status: int) -> Told:
    code = str(problem["code"])
    rejected = problem.get("rejected")
    if isinstance(rejected, list) and rejected:
        code = str(rejected[0]["code"])
    parameter = problem.get("parameter")
    if isinstance(parameter, str):
        name = PARAMETERS.get(parameter, parameter)
        return Told(f"invalid_{name}", f"Invalid {name} parameter given")
    return THEIRS.get(code, Told(code, HTTPStatus(status).phrase, status))


def refusal(problem: Mapping[str, object], status: int) -> JSONResponse:
    theirs = told(problem, status)
    error = {"title": theirs.title, "code": theirs.code, "detail": problem["detail"]}
    return JSONResponse({"errors": [error]}, theirs.status)


class RemoveBgErrors:
    """Middleware: turns problems (RFC 9457) into remove.bg's shape."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX):
            await self._app(scope, receive, send)
            return
        begun: Message | None = None
        body = bytearray()
        is_problem = False

        async def translated(message: Message) -> None:
            nonlocal begun, is_problem
            if message["type"] == "http.response.start":
                begun = message
                is_problem = Headers(raw=message["headers"]).get("content-type") == "application/problem+json"
            if not is_problem:
                await send(message)
            elif message["type"] == "http.response.body":
                body.extend(message.get("body", b""))
                if begun is not None and not message.get("more_body", False):
                    await refuse(begun)

        async def refuse(start: Message) -> None:
            answer = refusal(json.loads(bytes(body)), start["status"])
            headers = Headers(raw=start["headers"])
            for name in ("Retry-After", "Allow", "X-Job-Id"):
                if name in headers:
                    answer.headers[name] = headers[name]
            await answer(scope, receive, send)

        try:
            await self._app(scope, receive, translated)
        except Exception:
            if begun is None:
                await refusal({"code": "internal_error", "detail": BROKEN}, 500)(scope, receive, send)
            raise
