"""Pictures that a submit names by their address: `image_url`, which may be repeated, and `image_urls`, a list."""

import asyncio
import json
import re
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import Request
from starlette.concurrency import run_in_threadpool

import fetch_target
from errors import FetchFailed, InvalidRequest, MalformedUpload
from fetching import Fetcher
from submission import Submission, Upload
from web.body import KEEP_ALIVE_SECONDS

ONE, MANY = "image_url", "image_urls"
NAMES = (ONE, MANY)
# For the OpenAPI document.
FIELDS = {
    ONE: {"type": "array", "items": {"type": "string"}, "description": "Addresses of pictures; may be repeated."},
    MANY: {"type": "string", "description": "Addresses with spaces or commas between them, or as a JSON list."},
}
PARAMETERS = [{"name": name, "in": "query", "required": False, "schema": shape} for name, shape in FIELDS.items()]
# Fetched at once: of one submit, and of all in this process.
AT_ONCE = 4
SLOTS = 32
# How often it is looked whether the client is still there.
LOOK_SECONDS = 1.0


@dataclass(frozen=True)
class FetchSlots:
    """How a process fetches: a few pictures at once, in threads of their own, so that nothing else waits for them."""

    fetcher: Fetcher
    slots: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(SLOTS))


@dataclass(frozen=True)
class Source:
    """A picture that is to be fetched, and its place among the files of the submit."""

    place: int
    url: str
    filename: str


class Sources:
    """The addresses that one submit names, in the order in which they come."""

    def __init__(self, submission: Submission) -> None:
        self._submission = submission
        self._waiting: deque[Source] = deque()

    def add(self, url: str, filename: str = "") -> None:
        """Raises TooManyFiles. An empty address is what a form sends whose field was left empty: none."""
        if url:
            self._waiting.append(Source(self._submission.reserve(), url, filename or fetch_target.filename_of(url)))

    def take(self, name: str, value: str) -> bool:
        """Whether a parameter names pictures; then they are noted. Raises InvalidRequest and TooManyFiles."""
        if name in NAMES:
            for url in [value] if name == ONE else listed(value):
                self.add(url)
        return name in NAMES

    def __len__(self) -> int:
        return len(self._waiting)

    async def fetch(self, request: Request, fetching: FetchSlots, keep_alive: Callable[[], None]) -> None:
        """Fetch them all into the submission, where those that fail are noted as rejected files.

        `keep_alive` is called in a thread every KEEP_ALIVE_SECONDS. Raises RequestTooLarge and StorageFull, and
        MalformedUpload when the client goes away.
        """
        working = asyncio.gather(
            *(self._work(fetching) for _ in range(min(AT_ONCE, len(self)))), return_exceptions=True
        )
        renewed_at = time.monotonic()
        try:
            while not working.done():
                await asyncio.wait([working], timeout=LOOK_SECONDS)
                if await request.is_disconnected():
                    raise MalformedUpload("The connection was closed before the pictures were fetched.")
                if time.monotonic() - renewed_at > KEEP_ALIVE_SECONDS:
                    await run_in_threadpool(keep_alive)
                    renewed_at = time.monotonic()
        finally:
            # Nobody may still write when the submission is discarded.
            self._waiting.clear()
            outcomes = await working
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def _work(self, fetching: FetchSlots) -> None:
        while self._waiting:
            source = self._waiting.popleft()
            try:
                await run_sync(self._fetch_one, fetching.fetcher, source, limiter=fetching.slots)
            except BaseException:
                self._waiting.clear()
                raise

    def _fetch_one(self, fetcher: Fetcher, source: Source) -> None:
        fetch_into(self._submission.add(source.filename, source.place), fetcher, source.url)


def fetch_into(upload: Upload, fetcher: Fetcher, url: str) -> None:
    """Fill an upload from an address; what cannot be fetched is rejected as a bad file is. Blocks."""
    try:
        fetcher.fetch(url, upload.write)
    except FetchFailed as error:
        upload.reject(error)
    else:
        upload.finish()


def listed(text: str) -> list[str]:
    """Addresses of a JSON list, or with spaces, line breaks or commas between them. Raises InvalidRequest."""
    if not text.lstrip().startswith("["):
        # Addresses may have commas inside.
        return [url for url in re.split(r"[\s,]+(?=[a-z]+://)|\s+", text, flags=re.IGNORECASE) if url]
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"{MANY} begins like a JSON list and is none.") from error
    return texts(MANY, found)


def texts(name: str, value: object) -> list[str]:
    """One text or a list of them, from JSON. Raises InvalidRequest."""
    entries = value if isinstance(value, list) else [value]
    found = [entry for entry in entries if isinstance(entry, str)]
    if len(found) < len(entries):
        raise InvalidRequest(f"{name} wants a text or a list of texts.")
    return found


def without_sources(parameters: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in parameters.items() if name not in NAMES}
