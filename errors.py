"""Every error of the service, as types that carry what a person needs; no HTTP here (see web/problems.py).

ServiceError
├── InvalidRequest               what was asked cannot be done as asked
│   ├── NoFiles
│   ├── TooManyFiles
│   ├── RequestTooLarge
│   ├── MalformedUpload
│   ├── InvalidFiles             carries one RejectedFile for every bad file
│   ├── InvalidAttachment        a file that belongs to the whole job, such as a background picture
│   ├── SeveralBackgrounds       one can stand behind a subject
│   ├── KeyReused                an idempotency key came with another payload than before
│   ├── UnknownModel
│   └── ModelNotUsable           known, but not on this service (remote, or a custom file is missing)
├── QueueFull                    more files wait than may
├── SubmitInProgress             another request with this idempotency key is still being stored
├── JobNotFound
├── ResultNotFound               no such position in the job
├── PreviewNotFound
├── JobExpired                   was here, went with retention
├── JobNotFinished
├── ResultUnavailable            the file or the whole job ended without a result
├── IllegalTransition            a job's state does not allow this
├── LeaseLost                    somebody else owns the file now
├── PictureError                 permanent trouble with one picture; its `code` is stable
│   └── FetchFailed              its address cannot be fetched
├── NotInTime                    a picture that somebody waits for is not finished yet
├── FailedPicture                somebody waits for a picture that has failed; `code` is that of its result
├── ModelLoadFailed              the model's files are here, and cannot be loaded
├── ProcessingError              transient trouble while working on one picture
│   ├── NoChild
│   ├── ChildDied
│   ├── HostDied                 the whole service, again and again
│   └── FileTimeout
├── WeightsError
│   ├── WeightsUnavailable       no source could deliver them
│   └── WeightsCorrupt           bytes do not match the catalog
├── StorageError
│   ├── BlobMissing
│   └── StorageFull
├── DatabaseError
│   ├── DatabaseFull             there is no room left for rows
│   └── DatabaseTooNew
├── WorkerUnavailable
├── ServiceStopping              a request that was not over when the service had to stop
├── Unauthorized
└── ForeignOrigin
"""

from collections.abc import Sequence
from dataclasses import dataclass


class ServiceError(Exception):
    """Base of all; `code` is stable for programs, the message is a sentence for people."""

    code = "service_error"
    # Seconds after which trying again makes sense; None when it does not.
    retry_after: float | None = None

    @property
    def detail(self) -> str:
        return str(self)

    def members(self) -> dict[str, object]:
        """Further facts for a machine-readable answer."""
        return {}


class InvalidRequest(ServiceError):
    """`parameter` names the first that is wrong or unknown, where one is."""

    code = "invalid_request"

    def __init__(self, detail: str, parameter: str | None = None) -> None:
        self.parameter = parameter
        super().__init__(detail)

    def members(self) -> dict[str, object]:
        return {} if self.parameter is None else {"parameter": self.parameter}


class NoFiles(InvalidRequest):
    code = "no_files"


class TooManyFiles(InvalidRequest):
    code = "too_many_files"


class RequestTooLarge(InvalidRequest):
    code = "request_too_large"


class MalformedUpload(InvalidRequest):
    code = "malformed_upload"


@dataclass(frozen=True)
class RejectedFile:
    """One refused file of a request: which (`index` counts from 0), and why."""

    index: int
    filename: str
    code: str
    reason: str

    def as_dict(self) -> dict[str, object]:
        return {"index": self.index, "filename": self.filename, "code": self.code, "reason": self.reason}


class InvalidFiles(InvalidRequest):
    code = "invalid_files"

    def __init__(self, rejected: Sequence[RejectedFile]) -> None:
        self.rejected = tuple(rejected)
        listed = "; ".join(f"{file.filename}: {file.reason}" for file in self.rejected)
        count = len(self.rejected)
        super().__init__(f"{count} file{'' if count == 1 else 's'} cannot be accepted, so nothing was queued. {listed}")

    def members(self) -> dict[str, object]:
        return {"rejected": [file.as_dict() for file in self.rejected]}


class InvalidAttachment(InvalidRequest):
    code = "invalid_attachment"


class SeveralBackgrounds(InvalidRequest):
    code = "several_backgrounds"


class KeyReused(InvalidRequest):
    code = "idempotency_key_reused"


class UnknownModel(InvalidRequest):
    code = "unknown_model"


class ModelNotUsable(InvalidRequest):
    code = "model_not_usable"


class QueueFull(ServiceError):
    code = "queue_full"

    def __init__(self, pending: int, most: int, retry_after: float | None = None) -> None:
        # Ten seconds while nobody knows how fast the queue drains.
        self.retry_after = retry_after or 10.0
        super().__init__(f"The queue is full: {pending} files wait, and {most} may.")


class SubmitInProgress(ServiceError):
    code = "submit_in_progress"
    retry_after = 2.0


class JobNotFound(ServiceError):
    code = "job_not_found"

    def __init__(self, job_id: str) -> None:
        super().__init__(f"There is no job {job_id}.")


class ResultNotFound(ServiceError):
    code = "result_not_found"


class PreviewNotFound(ServiceError):
    code = "preview_not_found"


class JobExpired(ServiceError):
    code = "job_expired"


class JobNotFinished(ServiceError):
    code = "job_not_finished"


class ResultUnavailable(ServiceError):
    code = "result_unavailable"


class IllegalTransition(ServiceError):
    code = "illegal_transition"


class LeaseLost(ServiceError):
    code = "lease_lost"


class PictureError(ServiceError):
    """A picture that can never be processed: trying again would not help."""

    def __init__(self, code: str, reason: str) -> None:
        self.code = code
        super().__init__(reason)

    def __reduce__(self) -> tuple[type["PictureError"], tuple[str, str]]:
        return type(self), (self.code, str(self))


class FetchFailed(PictureError):
    """A picture that could not be had from its address."""


class NotInTime(ServiceError):
    """`joinable`: the same request again waits for the same work, or gets its result."""

    code = "not_in_time"
    retry_after = 5.0

    def __init__(self, job_id: str, joinable: bool) -> None:
        self.job_id = job_id
        later = f"Its result will be at /queue/job/{job_id}/result."
        again = f"Send the same request again after {self.retry_after:g} seconds: it waits for that work and gets its "
        again += "result."
        super().__init__(
            f"The picture is not finished yet. The work on it goes on as job {job_id}. {again if joinable else later}"
        )

    def members(self) -> dict[str, object]:
        return {"job_id": self.job_id}


class FailedPicture(ServiceError):
    """What became of the one picture of a job, told to whoever waits for it: code and sentence of its result."""

    def __init__(self, code: str, reason: str, job_id: str) -> None:
        self.code = code
        self.job_id = job_id
        super().__init__(reason)

    def members(self) -> dict[str, object]:
        return {"job_id": self.job_id}


class ProcessingError(ServiceError):
    code = "processing_failed"


class NoChild(ProcessingError):
    """The system makes no process; no picture is to blame."""

    code = "no_child"


class ChildDied(ProcessingError):
    """`str()` adds the process, for the operator: the kernel's log names it when memory ran out."""

    code = "child_died"

    def __init__(self, detail: str, pid: int | None = None) -> None:
        self._detail = detail
        super().__init__(detail if pid is None else f"{detail} It was process {pid}.")

    @property
    def detail(self) -> str:
        return self._detail


class HostDied(ProcessingError):
    code = "host_died"


class FileTimeout(ProcessingError):
    code = "timeout"


class ModelLoadFailed(ServiceError):
    code = "model_load_failed"


class WeightsError(ServiceError):
    """`detail` is for clients and names no path; `str()` adds the remedy, with paths, for the operator."""

    code = "weights_error"

    def __init__(self, detail: str, remedy: str = "") -> None:
        self._detail = detail
        self.remedy = remedy
        super().__init__(f"{detail} {remedy}".strip())

    @property
    def detail(self) -> str:
        return self._detail


class WeightsUnavailable(WeightsError):
    code = "weights_unavailable"


class WeightsCorrupt(WeightsError):
    code = "weights_corrupt"


class StorageError(ServiceError):
    code = "storage_error"
    retry_after = 2.0


class BlobMissing(StorageError):
    code = "blob_missing"


class StorageFull(StorageError):
    code = "storage_full"
    retry_after = 60.0


class DatabaseError(ServiceError):
    code = "database_error"
    retry_after = 2.0


class DatabaseFull(DatabaseError):
    code = "database_full"
    retry_after = 60.0


class DatabaseTooNew(DatabaseError):
    code = "database_too_new"


class WorkerUnavailable(ServiceError):
    code = "worker_unavailable"
    retry_after = 2.0


class ServiceStopping(ServiceError):
    code = "stopping"
    retry_after = 5.0


class Unauthorized(ServiceError):
    code = "unauthorized"


class ForeignOrigin(ServiceError):
    code = "foreign_origin"
