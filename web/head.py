"""HEAD wherever there is GET, as RFC 9110 wants: health checks and CDNs ask so."""

from starlette.types import ASGIApp, Receive, Scope, Send

# In the scope, for answers that would go on for ever.
WAS_HEAD = "rembg.was_head"


class HeadAsGet:
    """Middleware: routes see a GET, and the web server, which knows that it was a HEAD, sends no body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "HEAD":
            scope = {**scope, "method": "GET", WAS_HEAD: True}
        await self._app(scope, receive, send)
