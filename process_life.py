"""What a server process does at its start and at its end beside serving."""

import asyncio
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn import Server

from errors import ServiceError

# How long answers may still be sent when the service stops, in seconds; gunicorn.conf.py leaves 10 for it.
LAST_ANSWERS_SECONDS = 8


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


def limit_last_answers(handler: object) -> None:
    """uvicorn would wait for ever for a client that does not read its answer, and the worker's end waits for that."""
    server = getattr(handler, "__self__", None)
    if isinstance(server, Server) and server.config.timeout_graceful_shutdown is None:
        server.config.timeout_graceful_shutdown = LAST_ANSWERS_SECONDS


def say_goodbye_first(app: FastAPI, seconds: float, goodbyes: Sequence[Callable[[], None]]) -> None:
    """On SIGTERM, show /ready false for so long before the web server hears of it and refuses connections.

    `goodbyes` are said in the event loop when it does hear of it, or of Ctrl-C: it waits for every open answer then.
    """
    loop = asyncio.get_running_loop()
    of_the_server = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for handler in of_the_server.values():
        limit_last_answers(handler)

    def begin_to_stop(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGTERM and seconds > 0:
            app.state.stopping = True
            loop.call_soon_threadsafe(loop.call_later, seconds, stop, number, frame)
        else:
            stop(number, frame)

    def stop(number: int, frame: FrameType | None) -> None:
        for goodbye in goodbyes:
            loop.call_soon_threadsafe(goodbye)
        handler = of_the_server[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    for number, handler in of_the_server.items():
        if callable(handler):
            signal.signal(number, begin_to_stop)
