"""The token, given once by a person in a browser: kept as a cookie that no script can read."""

import hmac

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from errors import Unauthorized
from web.access import SESSION_COOKIE, session_of
from web.dependencies import PROBLEM, ServiceSettings


class TokenView(BaseModel):
    token: str = Field(max_length=1000, description="QUEUE_API_TOKEN of the service.")


router = APIRouter(tags=["session"], responses=PROBLEM)


@router.post("/session", status_code=204, response_class=Response)
async def begin(request: Request, settings: ServiceSettings, given: TokenView) -> Response:
    """Let this browser in until it is closed. Streams, pictures and downloads cannot send a token in a header."""
    answer = Response(status_code=204)
    if settings.api_token is None:
        return answer
    token = settings.api_token.get_secret_value()
    if not hmac.compare_digest(given.token.encode(), token.encode()):
        raise Unauthorized("That is not the token of this service.")
    answer.set_cookie(
        SESSION_COOKIE, session_of(token), httponly=True, samesite="strict", secure=request.url.scheme == "https"
    )
    return answer


@router.delete("/session", status_code=204, response_class=Response)
async def end() -> Response:
    """Forget the token in this browser."""
    answer = Response(status_code=204)
    answer.delete_cookie(SESSION_COOKIE, httponly=True, samesite="strict")
    return answer
