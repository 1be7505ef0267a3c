"""Who may call: an optional token for everything, and our own page only for acts on the whole queue."""

import hmac
from urllib.parse import urlsplit

from fastapi import Request
from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Receive, Scope, Send

from errors import ForeignOrigin, Unauthorized
from web.problems import problem_of

# The pages themselves hold nothing; they ask for the token when a call of theirs is refused.
OPEN_PATHS = frozenset({"/health", "/ready", "/", "/board", "/session"})
OPEN_FOLDER = "/page/"
SESSION_COOKIE = "queue_session"


def session_of(token: str) -> str:
    """What the browser keeps instead of the token: worthless once the token has changed."""
    return hmac.digest(token.encode(), b"browser session", "sha256").hex()


class TokenGate:
    """Middleware: without the token, nothing is answered but the pages and whether the service lives."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token.encode()
        self._session = session_of(token).encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or is_open(scope["path"]) or self._admits(Headers(scope=scope)):
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
        return hmac.compare_digest(given.encode("latin-1"), self._token) or self._has_session(headers)

    def _has_session(self, headers: Headers) -> bool:
        """A browser sends cookies with whatever any page makes it ask for, so only our own pages count."""
        origin = headers.get("origin")
        if origin is not None and host_of(origin) != headers.get("host"):
            return False
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return False
        # All services of a host share their cookies: what others wrote there must not matter.
        cookie = cookie_parser(headers.get("cookie", "")).get(SESSION_COOKIE, "")
        return hmac.compare_digest(cookie.encode("latin-1", "replace"), self._session)


def is_open(path: str) -> bool:
    return path in OPEN_PATHS or path.startswith(OPEN_FOLDER)


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
