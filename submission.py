"""A submit on its way in: files stream to storage and are checked; nothing is queued until all of it is safe."""

import hashlib
import json
import re
import unicodedata
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock

from errors import (
    InvalidAttachment,
    PictureError,
    RejectedFile,
    RequestTooLarge,
    StorageError,
    StorageFull,
    TooManyFiles,
)
from image_header import inspect
from job import Job, JobFile, NewFile
from storage.base import BlobWriter, Storage

MAX_FILENAME_CHARACTERS = 200
COPY_BYTES = 2**20
# How much may arrive between two looks at the free disk.
DISK_CHECK_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Limits:
    """What one submit may bring, in files, bytes and pixels."""

    max_files_per_job: int
    max_upload_bytes: int
    max_request_bytes: int
    max_pixels: int
    max_pending_files: int
    disk_reserve_bytes: int


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
            self.reject(error)
            return
        self._writer.commit()
        self._accept(NewFile(self._filename, self._writer.key, self._bytes, self._digest.hexdigest(), image_format))

    def reject(self, error: PictureError) -> None:
        """Forget what has come, and note why; instead of `finish`."""
        self._submission.forget(self._writer)
        self._reject(error)

    def _reject(self, error: PictureError) -> None:
        self._submission.noted[self._index] = RejectedFile(self._index, self._filename, error.code, error.detail)

    def _accept(self, file: NewFile) -> None:
        self._submission.noted[self._index] = file

    def _check(self) -> str:
        limits = self._submission.limits
        if self._too_large:
            limit = limits.max_upload_bytes / 2**20
            raise PictureError("file_too_large", f"The file is larger than the {limit:.4g} MiB that one may have.")
        if self._bytes == 0:
            raise PictureError("empty_file", "The file is empty.")
        with self._writer.reader() as stream:
            return inspect(stream, limits.max_pixels).format


class AttachmentUpload(Upload):
    """A picture that belongs to the whole job; without it nothing can be done, so it is never left out."""

    def _reject(self, error: PictureError) -> None:
        raise InvalidAttachment(f"{self._filename}: {error.detail}") from error

    def _accept(self, file: NewFile) -> None:
        self._submission.attachments[self._filename] = file


@dataclass(frozen=True)
class Queued:
    """A job that was accepted; `replayed` when an earlier request with the same idempotency key made it."""

    job: Job
    position: int | None
    wait_seconds: float | None
    rejected: Sequence[RejectedFile]
    replayed: bool


class Submission:
    """The files of one future job. `discard` it unless it was queued.

    One request owns it; only its uploads may be used from several threads.
    """

    def __init__(self, storage: Storage, limits: Limits, job_id: str) -> None:
        self.job_id = job_id
        self.limits = limits
        # What became of each file, by its place.
        self.noted: dict[int, NewFile | RejectedFile] = {}
        # By the names under which the operation knows them.
        self.attachments: dict[str, NewFile] = {}
        self._storage = storage
        self._writers: list[BlobWriter] = []
        self._copied: list[str] = []
        self._files = 0
        self._attached: set[str] = set()
        self._bytes = 0
        self._disk_checked_at = 0
        self._lock = Lock()

    @property
    def accepted(self) -> list[NewFile]:
        return [file for _, file in sorted(self.noted.items()) if isinstance(file, NewFile)]

    @property
    def rejected(self) -> list[RejectedFile]:
        return [file for _, file in sorted(self.noted.items()) if isinstance(file, RejectedFile)]

    def reserve(self) -> int:
        """The place of the next file, which may come later than others. Raises TooManyFiles."""
        index = self._files
        if index >= self.limits.max_files_per_job:
            if self.limits.max_files_per_job == 1:
                raise TooManyFiles("More than one picture came, and one is taken at a time. Please send them singly.")
            raise TooManyFiles(
                f"One job takes at most {self.limits.max_files_per_job} files. Please split them into several jobs."
            )
        self._files += 1
        return index

    def add(self, raw_filename: str, place: int | None = None) -> Upload:
        """Begin the next file, or that of a reserved place. Raises TooManyFiles."""
        index = self.reserve() if place is None else place
        return Upload(self, self._create(str(index)), index, clean_filename(raw_filename, index))

    def set_aside(self) -> BlobWriter:
        """Room in storage for something that is no file yet; `forget` it."""
        return self._create(f"aside-{uuid.uuid4().hex}")

    def attach(self, name: str) -> Upload:
        """Begin a picture that belongs to the whole job. Its upload raises InvalidAttachment."""
        if name in self._attached:
            raise InvalidAttachment(f"{name} came more than once.")
        self._attached.add(name)
        return AttachmentUpload(self, self._create(name), 0, name)

    def copy(self, file: JobFile, place: int) -> None:
        """Take the picture that a file of another job was given, for a reserved place. Raises BlobMissing."""
        key = self._key(str(place))
        self.count(file.input_bytes)
        with self._lock:
            self._copied.append(key)
            self._storage.copy(file.input_key, key)
        self._storage.flush(key)
        self.noted[place] = NewFile(file.filename, key, file.input_bytes, file.input_sha256, file.input_format)

    def _key(self, name: str) -> str:
        return f"uploads/{self.job_id}/{name}"

    def _create(self, name: str) -> BlobWriter:
        with self._lock:
            writer = self._storage.create(self._key(name))
            self._writers.append(writer)
        return writer

    def forget(self, writer: BlobWriter) -> None:
        """Remove the bytes of one file."""
        # Not while another is created: a place that seems empty may go with its last file.
        with self._lock:
            writer.discard()

    def take(self, files: Iterable[Path | str | tuple[str, bytes]]) -> None:
        """Take files that are on this machine, by path or as (name, bytes)."""
        for item in files:
            if isinstance(item, tuple):
                upload = self.add(item[0])
                upload.write(item[1])
            else:
                upload = self.add(Path(item).name)
                with Path(item).open("rb") as source:
                    while chunk := source.read(COPY_BYTES):
                        upload.write(chunk)
            upload.finish()

    def count(self, more_bytes: int) -> None:
        """Note bytes that arrived. Raises RequestTooLarge and StorageFull."""
        with self._lock:
            self._bytes += more_bytes
            if self._bytes >= self._disk_checked_at:
                self.check_disk()
                self._disk_checked_at = self._bytes + DISK_CHECK_BYTES
        if self._bytes > self.limits.max_request_bytes:
            limit = self.limits.max_request_bytes / 2**20
            raise RequestTooLarge(
                f"One submit takes at most {limit:.4g} MiB in all. Please split the files into several jobs."
            )

    def check_disk(self, expected_bytes: int = 0) -> None:
        """Raises StorageFull when so many bytes more would use up the reserve."""
        if self._storage.free_bytes() - expected_bytes < self.limits.disk_reserve_bytes:
            raise StorageFull("The disk of the service is nearly full. Nothing of this request was kept.")

    def fingerprint(self, parameters: Mapping[str, object]) -> str:
        """The same for the same pictures in the same order with the same parameters."""
        told = [[file.input_sha256 for file in self.accepted], len(self.rejected), dict(parameters)]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    def discard(self) -> None:
        """Remove every byte of it from storage."""
        troubles = []
        discards: list[Callable[[], None]] = [writer.discard for writer in self._writers]
        discards += [partial(self._storage.delete, key) for key in self._copied]
        for discard in discards:
            try:
                discard()
            except StorageError as error:
                troubles.append(error)
        self._writers.clear()
        self._copied.clear()
        if troubles:  # the sweep will find what is left
            raise StorageError("Some bytes of a refused submit could not be removed yet.") from troubles[0]
