"""A job and its files: frozen values, their states, and which change of state is legal."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Literal


class JobStatus(StrEnum):
    """The words that clients see, for a job and for each of its files."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self in (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED)


UNFINISHED = (JobStatus.PENDING, JobStatus.PROCESSING)


class Priority(StrEnum):
    """Which files go first; inside one priority, first in is first out."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"

    @property
    def rank(self) -> int:
        """As the database keeps it: the less, the sooner."""
        return {Priority.HIGH: -1, Priority.NORMAL: 0, Priority.LOW: 1}[self]

    @classmethod
    def of_rank(cls, rank: int) -> "Priority":
        return next(priority for priority in cls if priority.rank == rank)


# docs/state_machine.md draws these tables; tests/test_job.py holds the two against each other.
TRANSITIONS: Mapping[JobStatus, frozenset[JobStatus]] = {
    JobStatus.PENDING: frozenset({JobStatus.PROCESSING, JobStatus.CANCELLED}),
    JobStatus.PROCESSING: frozenset({JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED}),
    # Only by an explicit retry, and only a job with failed files.
    JobStatus.COMPLETED: frozenset({JobStatus.PENDING}),
    JobStatus.FAILED: frozenset({JobStatus.PENDING}),
    JobStatus.CANCELLED: frozenset(),
}

# A file goes back to pending when its worker died, was stopped, or the trouble may pass.
FILE_TRANSITIONS: Mapping[JobStatus, frozenset[JobStatus]] = {
    **TRANSITIONS,
    JobStatus.COMPLETED: frozenset(),
    JobStatus.PROCESSING: TRANSITIONS[JobStatus.PROCESSING] | {JobStatus.PENDING},
}


def timestamp(moment: datetime) -> str:
    """UTC as RFC 3339 with six digits and Z, so that text order is time order."""
    # Not strftime, which writes the year 1 with one digit.
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class JobFile:
    """One picture of a job: the unit of work. Sizes in pixels and bytes, times as `timestamp` text."""

    id: int
    job_id: str
    position: int
    filename: str
    status: JobStatus
    operation: str
    model: str
    params: Mapping[str, object]
    priority: Priority
    attempts: int
    available_at: str
    started_at: str | None
    worker_id: str | None
    input_key: str
    input_bytes: int
    input_sha256: str
    input_format: str
    lease_token: str | None
    output_key: str | None
    output_bytes: int | None
    output_sha256: str | None
    content_type: str | None
    extension: str | None
    width: int | None
    height: int | None
    seconds: float | None
    completed_at: str | None
    error_code: str | None
    error_message: str | None
    notes: Mapping[str, object]
    reuse_key: str | None
    cached: bool

    @property
    def next_attempt_at(self) -> str | None:
        """When it may be tried again; None unless it waits for that."""
        return self.available_at if self.status is JobStatus.PENDING and self.attempts else None

    @property
    def output_name(self) -> str:
        """The client's name with the extension of the result."""
        stem = self.filename.rpartition(".")[0] or self.filename
        return f"{stem}.{self.extension}"


@dataclass(frozen=True)
class Job:
    """What a client queued: the aggregate of its files. Times as `timestamp` text."""

    id: str
    status: JobStatus
    created_at: str
    started_at: str | None
    completed_at: str | None
    job_type: str
    filenames: tuple[str, ...]
    total_files: int
    processed_files: int
    failed_files: int
    operation: str
    model: str
    priority: Priority
    error_message: str | None
    results: tuple[Mapping[str, object], ...] | None
    metadata: Mapping[str, object]
    # Number of its latest change that clients can see; 0 when that was before there were numbers.
    changed: int

    def as_row(self) -> dict[str, object]:
        """Keyed by the columns of `jobs`; what was noted on it, such as retry_count, stands beside them."""
        return {
            **self.metadata,
            "id": self.id,
            "status": self.status.value,
            "created_at": self.created_at,
            "started_at": self.started_at,
            "completed_at": self.completed_at,
            "job_type": self.job_type,
            "filenames": list(self.filenames),
            "total_files": self.total_files,
            "processed_files": self.processed_files,
            "failed_files": self.failed_files,
            "model": self.model,
            "priority": self.priority.value,
            "error_message": self.error_message,
            "results": None if self.results is None else list(self.results),
            "metadata": dict(self.metadata),
        }


@dataclass(frozen=True)
class JobFilter:
    """Which jobs are meant: those to which all of it applies. Times as `timestamp` text, both included.

    `text` is in the name of one of the job's files, or the beginning of its id.
    """

    status: JobStatus | None = None
    model: str | None = None
    text: str | None = None
    priority: Priority | None = None
    since: str | None = None
    until: str | None = None


class Deed(StrEnum):
    """What people do to jobs."""

    CANCEL = "cancel"
    RETRY = "retry"
    PRIORITY = "priority"


@dataclass(frozen=True)
class Act:
    """One deed: `force` cancels what is being worked on too; `priority` is the new one of a change of priority."""

    deed: Deed
    force: bool = False
    priority: Priority = Priority.NORMAL

    @property
    def from_states(self) -> frozenset[JobStatus]:
        """The states of a job in which it can be done."""
        running = {JobStatus.PROCESSING} if self.force or self.deed is Deed.PRIORITY else set()
        if self.deed is Deed.RETRY:
            return frozenset({JobStatus.FAILED, JobStatus.COMPLETED})
        return frozenset({JobStatus.PENDING} | running)


@dataclass(frozen=True)
class Lease:
    """The right to work on one file, until it expires unheard of."""

    file: JobFile
    token: str

    @property
    def key(self) -> tuple[int, str]:
        return self.file.id, self.token

    @property
    def name(self) -> str:
        """One word for this attempt on this file."""
        return f"{self.file.id}-{self.token}"

    @property
    def output_key(self) -> str:
        """A key of this attempt alone: a late worker can never overwrite the result of another."""
        return f"results/{self.file.job_id}/{self.file.position}-{self.token}"


@dataclass(frozen=True)
class Outcome:
    """A finished file: what its result is (pixels, bytes) and how long the work took (seconds)."""

    output_key: str
    output_bytes: int
    output_sha256: str
    content_type: str
    extension: str
    width: int
    height: int
    seconds: float
    notes: Mapping[str, object] = field(default_factory=dict)
    # It was made for another file of the same bytes.
    cached: bool = False


# Small pictures that are kept beside a result, and their types.
PreviewOf = Literal["input", "result"]
PREVIEW_TYPES: Mapping[PreviewOf, str] = {"input": "image/jpeg", "result": "image/webp"}


def preview_key(output_key: str, of: PreviewOf) -> str:
    return f"{output_key}.{of}"


def preview_keys(output_key: str) -> list[str]:
    """Where the previews of a result are, if it has any: those that earlier versions made have none."""
    return [preview_key(output_key, of) for of in PREVIEW_TYPES]


@dataclass(frozen=True)
class NewFile:
    """A picture that is safely in storage, about to become part of a job."""

    filename: str
    input_key: str
    input_bytes: int
    input_sha256: str
    input_format: str
    reuse_key: str | None = None


@dataclass(frozen=True)
class WorkerState:
    """What a worker tells of itself with every heartbeat; `state` holds models and downloads."""

    id: str
    machine: str
    pid: int
    started_at: str
    heartbeat_at: str
    status: str
    active_files: int
    max_concurrent: int
    state: Mapping[str, object]
