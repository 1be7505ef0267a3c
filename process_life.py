"""What a server process does at its start and at its end beside serving."""

import asyncio
import signal
import sys
import tempfile
from collections.abc import Callable
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


def say_goodbye_first(app: FastAPI, seconds: float, goodbye: Callable[[], None]) -> None:
    """On SIGTERM, show /ready false for so long before the web server hears of it and refuses connections.

    `goodbye` is called in the event loop when it does hear of it, or of Ctrl-C: it waits for every open answer then.
    """
    loop = asyncio.get_running_loop()
    of_the_server = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def begin_to_stop(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGTERM and seconds > 0:
            app.state.stopping = True
            loop.call_soon_threadsafe(loop.call_later, seconds, stop, number, frame)
        else:
            stop(number, frame)

    def stop(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(goodbye)
        handler = of_the_server[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    for number, handler in of_the_server.items():
        if callable(handler):
            signal.signal(number, begin_to_stop)
