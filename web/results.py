"""Finished pictures on their way out: names, ETags, one picture, or a ZIP made while it is sent."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import BinaryIO
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send
from zipstream import ZipStream

from job import Job, JobFile, JobStatus
from storage.base import Storage

CHUNK_BYTES = 256 * 1024
ZIP_TYPE = "application/zip"
# Kept by this client alone: pictures of people are nobody else's, and a retry may change a result.
CACHE_CONTROL = "private, no-cache"


def content_disposition(kind: str, filename: str) -> str:
    """For any Unicode name, by RFC 6266: an ASCII stand-in for old clients, the real one beside it."""
    plain = "".join(c if " " <= c <= "~" and c not in '"\\%' else "_" for c in filename)
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"


def not_modified(request: Request, etag: str) -> Response | None:
    """304 when the client has this very result already."""
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if etag.removeprefix("W/") in known or "*" in known:
        return Response(status_code=304, headers={"ETag": etag, "Cache-Control": CACHE_CONTROL})
    return None


class BlobResponse(StreamingResponse):
    """Closes what it streams, also when the client has gone before the first byte."""

    def __init__(self, stream: BinaryIO, media_type: str | None, headers: Mapping[str, str]) -> None:
        super().__init__(chunks(stream), media_type=media_type, headers=headers)
        self._stream = stream

    def close(self) -> None:
        """Of an answer that is not sent."""
        self._stream.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._stream:
            await super().__call__(scope, receive, send)


def picture(request: Request, storage: Storage, file: JobFile) -> Response:
    """One finished file. Raises BlobMissing."""
    return not_modified_or(request, whole_picture(storage, file))


def whole_picture(storage: Storage, file: JobFile) -> BlobResponse:
    """One finished file, whatever the client has already. Raises BlobMissing."""
    return blob(
        storage.open(str(file.output_key)),
        str(file.content_type),
        int(file.output_bytes or 0),
        file.output_name,
        f'"{file.output_sha256}"',
    )


def given_picture(request: Request, storage: Storage, file: JobFile) -> Response:
    """What the client sent, as it came. Raises BlobMissing."""
    kind = f"image/{file.input_format}"
    answer = blob(storage.open(file.input_key), kind, file.input_bytes, file.filename, f'"{file.input_sha256}"')
    # A stranger's bytes under our own address: whatever a browser takes them for, they run nothing.
    answer.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return not_modified_or(request, answer)


def not_modified_or(request: Request, answer: BlobResponse) -> Response:
    """The answer, unless the client has it already. What is gone is told before that, by opening it."""
    unchanged = not_modified(request, answer.headers["ETag"])
    if unchanged is None:
        return answer
    answer.close()
    return unchanged


def blob(stream: BinaryIO, kind: str, size: int, name: str, etag: str) -> BlobResponse:
    """Opened before the answer begins, so that missing bytes are an error and not a broken picture."""
    headers = {
        "Content-Length": str(size),
        "Content-Disposition": content_disposition("inline", name),
        "ETag": etag,
        "Cache-Control": CACHE_CONTROL,
        "X-Content-Type-Options": "nosniff",
    }
    return BlobResponse(stream, kind, headers)


def archive(request: Request, storage: Storage, job: Job, files: Sequence[JobFile]) -> Response:
    """A ZIP of every finished file and a manifest.json that tells of all of them."""
    names = archive_names(files)
    manifest = manifest_json(job, files, names)
    digest = hashlib.sha256(manifest).hexdigest()
    # Weak: the entries carry the time of the download.
    etag = f'W/"{digest}"'
    unchanged = not_modified(request, etag)
    if unchanged is not None:
        return unchanged
    for key in [str(file.output_key) for file in files if file.status is JobStatus.COMPLETED]:
        # Looked at before the answer begins, so that missing bytes are an error and not a broken ZIP.
        storage.open(key).close()
    # Stored, not deflated: pictures are compressed already, and the length is known before the first byte.
    zipped = ZipStream(sized=True)
    for file in files:
        if file.status is JobStatus.COMPLETED:
            zipped.add(opened_late(storage, str(file.output_key)), names[file.position], size=file.output_bytes)
    zipped.add(manifest, "manifest.json")
    return StreamingResponse(
        iter(zipped),
        media_type=ZIP_TYPE,
        headers={
            "Content-Length": str(len(zipped)),
            "Content-Disposition": content_disposition("attachment", f"{job.id}.zip"),
            "ETag": etag,
            "Cache-Control": CACHE_CONTROL,
            "X-Content-Type-Options": "nosniff",
        },
    )


def archive_names(files: Sequence[JobFile]) -> dict[int, str]:
    """A name for every finished file by position; equal ones are numbered, whatever their case."""
    taken = {"manifest.json"}
    names = {}
    for file in files:
        if file.status is not JobStatus.COMPLETED:
            continue
        wanted = PurePath(file.output_name)
        name, number = wanted.name, 1
        while name.lower() in taken:
            number += 1
            name = f"{wanted.stem} ({number}){wanted.suffix}"
        taken.add(name.lower())
        names[file.position] = name
    return names


def manifest_json(job: Job, files: Sequence[JobFile], names: dict[int, str]) -> bytes:
    listed = [
        {
            "index": file.position,
            "filename": file.filename,
            "status": file.status,
            "name_in_archive": names.get(file.position),
            "sha256": file.output_sha256,
            "width": file.width,
            "height": file.height,
            "error": file.error_message,
            "error_code": file.error_code,
        }
        for file in files
    ]
    return json.dumps({"job_id": job.id, "model": job.model, "files": listed}, indent=1, ensure_ascii=False).encode()


def opened_late(storage: Storage, key: str) -> Iterator[bytes]:
    """Opened when its turn comes: a batch of hundreds must not hold hundreds of files open."""
    yield from chunks(storage.open(key))


def chunks(stream: BinaryIO) -> Iterator[bytes]:
    with stream:
        while chunk := stream.read(CHUNK_BYTES):
            yield chunk
