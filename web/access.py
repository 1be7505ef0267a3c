"""Who may call: an optional token for everything, and our own page only for acts on the whole queue."""

import hmac
from urllib.parse import urlsplit

from fastapi import Request
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from errors import ForeignOrigin, Unauthorized
from web.problems import problem_of

OPEN_PATHS = frozenset({"/health", "/ready"})


class TokenGate:
    """Middleware: without the token, nothing but /health and /ready is answered."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS or self._admits(Headers(scope=scope)):
            await self._app(scope, receive, send)
            return
        refusal = Unauthorized(
            "This service wants a token, as 'Authorization: Bearer TOKEN' or 'X-API-Key: TOKEN'; "
            "the request had none, or not the right one."
        )
        await problem_of(refusal)(scope, receive, send)

    def _admits(self, headers: Headers) -> bool:
        scheme, _, credentials = headers.get("authorization", "").partition(" ")
        given = credentials.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
        # Header values are bytes that were read as Latin-1.
        return hmac.compare_digest(given.encode("latin-1"), self._token)


def host_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:  # no address at all, and certainly not ours
        return None


def own_origin(request: Request) -> None:
    """Dependency: without a token, a page of another site must not act on the whole queue. Raises ForeignOrigin."""
    origin = request.headers.get("origin")
    if request.app.state.settings.api_token is not None or origin is None:
        return
    if host_of(origin) != request.headers.get("host"):
        raise ForeignOrigin(
            f"A page from {origin} may not do this. Set QUEUE_API_TOKEN on the service and send the token instead."
        )
