"""What a server process does at its start and at its end beside serving."""

import asyncio
import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from errors import ServiceError


class RefusalInOneLine:
    """Has the web server log one sentence, not a traceback, when the service cannot start for a foreseen reason."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_sentence(message: Message) -> None:
            # Starlette sends this while it handles the error, with a traceback as the message.
            reason = sys.exception() if message["type"] == "lifespan.startup.failed" else None
            if isinstance(reason, ServiceError | OSError):
                message = {**message, "message": cannot_start(reason)}
            await send(message)

        await self._app(scope, receive, send_sentence if scope["type"] == "lifespan" else send)


def cannot_start(reason: ServiceError | OSError) -> str:
    return f"The service cannot start. {reason}"


def have_temporary_folder(fallback: Path) -> None:
    """The fork server's socket needs one; a read-only container may have none."""
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        tempfile.tempdir = str(fallback)


def say_goodbye_first(app: FastAPI, seconds: float) -> None:
    """On SIGTERM, show /ready false for so long before the web server hears of it and refuses connections."""
    loop = asyncio.get_running_loop()
    of_the_server = signal.getsignal(signal.SIGTERM)
    if seconds == 0 or not callable(of_the_server):
        return

    def begin_to_stop(number: int, frame: FrameType | None) -> None:
        app.state.stopping = True
        loop.call_soon_threadsafe(loop.call_later, seconds, of_the_server, number, frame)

    signal.signal(signal.SIGTERM, begin_to_stop)
