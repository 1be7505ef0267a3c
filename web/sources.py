"""Pictures that a submit names by their address: `image_url`, which may be repeated, and `image_urls`, a list.

`image_job` names one that an earlier job was given.
"""

import asyncio
import json
import re
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import Request
from starlette.concurrency import run_in_threadpool

import fetch_target
from errors import BlobMissing, FetchFailed, InvalidAttachment, InvalidRequest, MalformedUpload, ResultUnavailable
from fetching import Fetcher
from job import JobFile
from submission import Submission, Upload
from web.body import KEEP_ALIVE_SECONDS

ONE, MANY, AGAIN = "image_url", "image_urls", "image_job"
# Of a picture that belongs to the whole job, by the name of the attachment that it becomes.
ATTACHED = {"background_image_url": "background_image"}
NAMES = (ONE, MANY, AGAIN, *ATTACHED)
# For the OpenAPI document.
FIELDS = {
    ONE: {"type": "array", "items": {"type": "string"}, "description": "Addresses of pictures; may be repeated."},
    MANY: {"type": "string", "description": "Addresses with spaces or commas between them, or as a JSON list."},
    AGAIN: {
        "type": "array",
        "items": {"type": "string"},
        "description": "Pictures that earlier jobs were given, as job id/index; may be repeated.",
    },
    **{name: {"type": "string", "description": f"Address of the {of}."} for name, of in ATTACHED.items()},
}
PARAMETERS = [{"name": name, "in": "query", "required": False, "schema": shape} for name, shape in FIELDS.items()]
# Fetched at once: of one submit, and of all in this process.
AT_ONCE = 4
SLOTS = 32
_FILE_OF_JOB = re.compile(r"([\w-]{1,64})/([0-9]{1,9})", re.ASCII)
# How often it is looked whether the client is still there.
LOOK_SECONDS = 1.0


@dataclass(frozen=True)
class FetchSlots:
    """How a process fetches: a few pictures at once, in threads of their own, so that nothing else waits for them."""

    fetcher: Fetcher
    slots: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(SLOTS))


@dataclass(frozen=True)
class Source:
    """A picture that is to be fetched, and its place among the files of the submit; none where it is attached."""

    place: int | None
    url: str
    filename: str


@dataclass(frozen=True)
class Earlier:
    """A picture that a job was given, and its place among the files of the submit."""

    place: int
    job_id: str
    index: int


class Sources:
    """The addresses that one submit names, in the order in which they come. `file_of`: QueueManager.file."""

    def __init__(self, submission: Submission, file_of: Callable[[str, int], JobFile]) -> None:
        self._submission = submission
        self._file_of = file_of
        self._waiting: deque[Source | Earlier] = deque()

    def add(self, url: str, filename: str = "") -> None:
        """Raises TooManyFiles. An empty address is what a form sends whose field was left empty: none."""
        if url:
            self._waiting.append(Source(self._submission.reserve(), url, filename or fetch_target.filename_of(url)))

    def add_again(self, text: str) -> None:
        """By a job's id and the number of its file. Raises InvalidRequest and TooManyFiles."""
        named = _FILE_OF_JOB.fullmatch(text)
        if text and named is None:
            raise InvalidRequest(f"{AGAIN} wants the id of a job, a slash and the number of its file, from 0.", AGAIN)
        if named is not None:
            self._waiting.append(Earlier(self._submission.reserve(), named[1], int(named[2])))

    def attach(self, name: str, url: str) -> None:
        """By the name of the parameter. Raises InvalidAttachment when it is the second."""
        if url and any(source.place is None for source in self._waiting):
            raise InvalidAttachment(f"{name} came more than once.")
        if url:
            self._waiting.append(Source(None, url, ATTACHED[name]))

    def take(self, name: str, value: str) -> bool:
        """Whether a parameter names pictures; then they are noted.

        Raises InvalidRequest, InvalidAttachment and TooManyFiles.
        """
        if name in NAMES:
            if name in ATTACHED:
                self.attach(name, value)
            elif name == AGAIN:
                self.add_again(value)
            else:
                for url in [value] if name == ONE else listed(value):
                    self.add(url)
        return name in NAMES

    def __len__(self) -> int:
        return len(self._waiting)

    async def fetch(self, request: Request, fetching: FetchSlots, keep_alive: Callable[[], None]) -> None:
        """Fetch them all into the submission, where those that fail are noted as rejected files.

        `keep_alive` is called in a thread every KEEP_ALIVE_SECONDS. Raises RequestTooLarge, StorageFull,
        InvalidAttachment, MalformedUpload when the client goes away, and JobNotFound, JobExpired, ResultNotFound and
        BlobMissing for pictures of earlier jobs.
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

    def _fetch_one(self, fetcher: Fetcher, source: Source | Earlier) -> None:
        if isinstance(source, Earlier):
            self._copy(source)
            return
        submission, name = self._submission, source.filename
        upload = submission.attach(name) if source.place is None else submission.add(name, source.place)
        fetch_into(upload, fetcher, source.url)

    def _copy(self, source: Earlier) -> None:
        try:
            self._submission.copy(self._file_of(source.job_id, source.index), source.place)
        except (BlobMissing, ResultUnavailable) as error:
            raise BlobMissing(
                f"The picture of file {source.index} of job {source.job_id} is not kept any more: send it again."
            ) from error


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
