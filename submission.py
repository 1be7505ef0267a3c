"""A submit on its way in: files stream to storage and are checked; nothing is queued until all of it is safe."""

import hashlib
import re
import unicodedata
from dataclasses import dataclass

from errors import PictureError, RejectedFile, RequestTooLarge, StorageError, TooManyFiles
from image_header import inspect
from job import NewFile
from storage.base import BlobWriter, Storage

MAX_FILENAME_CHARACTERS = 200


@dataclass(frozen=True)
class Limits:
    """What one submit may bring, in files, bytes and pixels."""

    max_files_per_job: int
    max_upload_bytes: int
    max_request_bytes: int
    max_pixels: int


def clean_filename(raw: str, index: int) -> str:
    """The last part of the client's path without control or invisible characters; a made-up name if none is left."""
    name = re.split(r"[/\\]", raw)[-1]
    name = "".join(character for character in name if unicodedata.category(character)[0] != "C").strip()
    if name.strip(".") == "":
        return f"image-{index + 1}"
    if len(name) > MAX_FILENAME_CHARACTERS:
        stem, dot, extension = name.rpartition(".")
        keep = MAX_FILENAME_CHARACTERS - len(dot + extension)
        name = (stem[:keep] + dot + extension) if stem and keep > 0 else name[:MAX_FILENAME_CHARACTERS]
    return name


class Upload:
    """One file on its way into storage."""

    def __init__(self, submission: "Submission", writer: BlobWriter, index: int, filename: str) -> None:
        self._submission = submission
        self._writer = writer
        self._index = index
        self._filename = filename
        self._digest = hashlib.sha256()
        self._bytes = 0
        self._too_large = False

    def write(self, chunk: bytes) -> None:
        """Take more bytes. Raises RequestTooLarge; a file that is too large alone is rejected by `finish`."""
        self._submission.count(len(chunk))
        self._bytes += len(chunk)
        if self._bytes > self._submission.limits.max_upload_bytes:
            self._too_large = True
        else:
            self._digest.update(chunk)
            self._writer.write(chunk)

    def finish(self) -> None:
        """Check the picture's header and make it durable, or note why it is rejected."""
        try:
            image_format = self._check()
        except PictureError as error:
            self._writer.discard()
            self._submission.rejected.append(RejectedFile(self._index, self._filename, error.code, error.detail))
            return
        self._writer.commit()
        self._submission.accepted.append(
            NewFile(self._filename, self._writer.key, self._bytes, self._digest.hexdigest(), image_format)
        )

    def _check(self) -> str:
        limits = self._submission.limits
        if self._too_large:
            limit = limits.max_upload_bytes / 2**20
            raise PictureError("file_too_large", f"The file is larger than the {limit:g} MiB that one may have.")
        if self._bytes == 0:
            raise PictureError("empty_file", "The file is empty.")
        with self._writer.reader() as stream:
            return inspect(stream, limits.max_pixels).format


class Submission:
    """The files of one future job. Not thread-safe: one request owns it. `discard` it unless it was queued."""

    def __init__(self, storage: Storage, limits: Limits, job_id: str) -> None:
        self.job_id = job_id
        self.limits = limits
        self.accepted: list[NewFile] = []
        self.rejected: list[RejectedFile] = []
        self._storage = storage
        self._writers: list[BlobWriter] = []
        self._bytes = 0

    def add(self, raw_filename: str) -> Upload:
        """Begin the next file. Raises TooManyFiles."""
        index = len(self._writers)
        if index >= self.limits.max_files_per_job:
            raise TooManyFiles(
                f"One job takes at most {self.limits.max_files_per_job} files. Please split them into several jobs."
            )
        writer = self._storage.create(f"uploads/{self.job_id}/{index}")
        self._writers.append(writer)
        return Upload(self, writer, index, clean_filename(raw_filename, index))

    def count(self, more_bytes: int) -> None:
        self._bytes += more_bytes
        if self._bytes > self.limits.max_request_bytes:
            limit = self.limits.max_request_bytes / 2**20
            raise RequestTooLarge(
                f"One submit takes at most {limit:g} MiB in all. Please split the files into several jobs."
            )

    def discard(self) -> None:
        """Remove every byte of it from storage."""
        troubles = []
        for writer in self._writers:
            try:
                writer.discard()
            except StorageError as error:
                troubles.append(error)
        self._writers.clear()
        if troubles:  # the sweep will find what is left
            raise StorageError("Some bytes of a refused submit could not be removed yet.") from troubles[0]
