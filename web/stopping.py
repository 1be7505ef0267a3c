"""Requests that are not over when the service stops: refused like any other, with one line in the log."""

import asyncio
import logging

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from errors import ServiceStopping
from web.problems import problem_of

logger = logging.getLogger(__name__)


class LastWords:
    """Middleware: what takes too long while the web server stops is cancelled, which it would call an error of ours."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def send_noted(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, send_noted)
        except asyncio.CancelledError:
            if scope["type"] != "http" or begun:
                raise
            logger.warning("stopped before %s %s was over", scope["method"], scope["path"])
            await problem_of(ServiceStopping("The service stops. Send this again in a few seconds."))(
                scope, receive, send
            )
