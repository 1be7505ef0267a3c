"""The body of a submit, handed on while it arrives."""

import time
from collections.abc import Awaitable, Callable

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request

from errors import MalformedUpload, RequestTooLarge, ServiceError
from submission import Submission

KEEP_ALIVE_SECONDS = 15.0


async def read(
    request: Request,
    submission: Submission,
    limit_bytes: int,
    feed: Callable[[bytes], Awaitable[None]],
    keep_alive: Callable[[], None],
) -> None:
    """Feed the whole body, piece by piece; `keep_alive` is called in a thread every KEEP_ALIVE_SECONDS.

    Raises MalformedUpload, RequestTooLarge, and what `feed` raises, once the client has sent everything.
    """
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > limit_bytes:
        submission.count(int(length))
    received = 0
    refusal: ServiceError | None = None
    renewed_at = time.monotonic()
    try:
        async for chunk in request.stream():
            received += len(chunk)
            if time.monotonic() - renewed_at > KEEP_ALIVE_SECONDS:
                await run_in_threadpool(keep_alive)
                renewed_at = time.monotonic()
            if received > limit_bytes:
                raise refusal or RequestTooLarge(
                    f"The body is larger than the {limit_bytes} bytes that one submit may have."
                )
            # A client that is still sending does not read an answer: hear it out, without keeping anything.
            if refusal is None and chunk:
                try:
                    await feed(chunk)
                except ServiceError as error:
                    refusal = error
    except ClientDisconnect:
        raise MalformedUpload("The connection was closed before the upload was complete.") from None
    if refusal is not None:
        raise refusal
