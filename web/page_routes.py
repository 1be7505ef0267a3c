"""The pages that people open: static files of web/page, under a strict Content-Security-Policy."""

import os
from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse
from starlette.middleware.gzip import GZipMiddleware
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

PAGE_DIR = Path(__file__).parent / "page"
# Nothing from elsewhere, nothing inline. blob: is for pictures that were dropped and are only in the browser yet.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # Asked for again each time, and answered 304: an update of the service is an update of the page.
    "Cache-Control": "no-cache",
}


class PageFiles(StaticFiles):
    """Static files with the headers of a page."""

    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers.update(HEADERS)
        return response


files = PageFiles(directory=PAGE_DIR)
# A third of the bytes for phones far from the service.
zipped_files = GZipMiddleware(files, minimum_size=1000)
router = APIRouter(include_in_schema=False, default_response_class=FileResponse)


@router.get("/")
async def studio(request: Request) -> Response:
    """Drop pictures, take their cutouts."""
    return await files.get_response("index.html", request.scope)


@router.get("/board")
async def board(request: Request) -> Response:
    """Watch the queue, and act on it."""
    return await files.get_response("board.html", request.scope)
