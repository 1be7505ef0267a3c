"""Queues for tests: a clock that stands still until it is told, pictures to submit, work that is only reported."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from job import PREVIEW_TYPES, JobStatus, Lease, Outcome, WorkerState, preview_key, timestamp, utc_now
from queue_manager import QueueManager
from storage.base import Storage
from submission import Limits
from tests.pictures import encode, ramp

PICTURE = encode(ramp(8, 8), "PNG")
CUTOUT = encode(ramp(9, 9), "PNG")
# Small, so that a test can go beyond each of them with a few bytes.
LIMITS = Limits(
    max_files_per_job=5,
    max_upload_bytes=64 * 1024,
    max_request_bytes=160 * 1024,
    max_pixels=1_000_000,
    max_pending_files=1000,
    disk_reserve_bytes=0,
)


@dataclass
class Clock:
    """The time that a queue believes in."""

    now: datetime = datetime(2026, 11, 1, 12, 0, 0, 123456, UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **duration: float) -> None:
        self.now += timedelta(**duration)


def submit(queue: QueueManager, *names: str, model: str = "u2netp") -> str:
    """Queue one picture under each name; the job's id."""
    return queue.create_job([(name, PICTURE) for name in names or ("cat.png",)], model=model)


def claim(queue: QueueManager, limit: int = 100) -> list[Lease]:
    return queue.claim("worker-1", limit)


def outcome(lease: Lease, content: bytes = CUTOUT) -> Outcome:
    digest = hashlib.sha256(content).hexdigest()
    return Outcome(lease.output_key, len(content), digest, "image/png", "png", 9, 9, 0.25)


def put_result(storage: Storage, lease: Lease, content: bytes = CUTOUT) -> None:
    """What a child stores: previews, told apart by what they are of, and the result."""
    for of in PREVIEW_TYPES:
        storage.put(preview_key(lease.output_key, of), of.encode() + content)
    storage.put(lease.output_key, content)


def finish(queue: QueueManager, lease: Lease, content: bytes = CUTOUT) -> None:
    """What a worker does when a picture succeeded."""
    put_result(queue.storage, lease, content)
    queue.complete(lease, outcome(lease, content))


def fail(queue: QueueManager, lease: Lease, message: str = "The picture is damaged.") -> None:
    queue.fail(lease, "damaged", message, 0.1)


def job_in(queue: QueueManager, status: JobStatus, *names: str) -> str:
    """A new job brought to a state, on a queue where nothing else waits."""
    job_id = submit(queue, *names)
    if status is JobStatus.CANCELLED:
        queue.cancel_job(job_id)
    elif status is not JobStatus.PENDING:
        leases = claim(queue)
        for lease in leases:
            if status is JobStatus.COMPLETED:
                finish(queue, lease)
            elif status is JobStatus.FAILED:
                fail(queue, lease)
    assert queue.job(job_id).status is status
    return job_id


def stored(storage: Storage) -> list[str]:
    """Every key, unfinished writes included."""
    return sorted(storage.keys(utc_now() + timedelta(days=1)))


def worker_state(
    worker_id: str, now: datetime, machine: str = "here", state: Mapping[str, object] | None = None
) -> WorkerState:
    return WorkerState(worker_id, machine, 4711, timestamp(now), timestamp(now), "running", 0, 2, state or {})
