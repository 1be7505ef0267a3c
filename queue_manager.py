"""Every rule of a job's life. The only place that pairs a row with its bytes. All methods are synchronous."""

import logging
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from database.engine import Database
from database.file_store import FileStore
from database.job_store import JobStore, Page
from database.worker_store import WorkerStore
from errors import (
    IllegalTransition,
    InvalidFiles,
    JobExpired,
    JobNotFinished,
    JobNotFound,
    LeaseLost,
    NoFiles,
    ResultNotFound,
    ResultUnavailable,
    StorageError,
)
from job import Job, JobFile, JobStatus, Lease, Outcome, WorkerState, utc_now
from models import catalog
from storage.base import Storage
from submission import Limits, Submission

__all__ = ["JobStatus", "QueueManager"]

logger = logging.getLogger(__name__)

COPY_BYTES = 2**20
EXPIRE_BATCH = 50
# An upload may take hours on a slow line; only bytes older than this can be left over from a crash.
ORPHAN_AGE = timedelta(hours=24)
EXPIRED_MEMORY = timedelta(days=90)


@dataclass(frozen=True)
class Queued:
    """A job that was just accepted; `position` counts from 1 in files and is that of its first."""

    job: Job
    position: int
    submission: Submission


class QueueManager:
    """The queue, for routes, workers and scripts alike. Thread-safe."""

    def __init__(
        self,
        database: Database,
        storage: Storage,
        limits: Limits,
        lease_seconds: float = 60.0,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.database = database
        self.storage = storage
        self.limits = limits
        self.lease_seconds = lease_seconds
        self.clock = clock
        self._jobs = JobStore(database)
        self._files = FileStore(database)
        self._workers = WorkerStore(database)
        self._listeners: list[Callable[[], None]] = []

    # --- submit ---------------------------------------------------------------------------------------------

    def begin_submission(self) -> Submission:
        return Submission(self.storage, self.limits, str(uuid.uuid4()))

    def submit(
        self,
        submission: Submission,
        *,
        model: str,
        operation: str = "remove_background",
        params: Mapping[str, object] | None = None,
        metadata: Mapping[str, object] | None = None,
        skip_invalid: bool = False,
    ) -> Queued:
        """Queue what has arrived. Raises NoFiles and InvalidFiles, and then nothing is stored."""
        try:
            if submission.rejected and not (skip_invalid and submission.accepted):
                raise InvalidFiles(submission.rejected)
            if not submission.accepted:
                raise NoFiles("No picture came with the request. Send at least one file in the field 'images'.")
            ahead = self._jobs.insert(
                self.clock(),
                submission.job_id,
                operation,
                model,
                params if params is not None else {"model": model},
                metadata or {},
                submission.accepted,
            )
        except Exception:
            submission.discard()
            raise
        logger.info("job %s queued: %d files, model %s", submission.job_id, len(submission.accepted), model)
        for listener in self._listeners:
            listener()
        return Queued(self.job(submission.job_id), ahead + 1, submission)

    def create_job(
        self,
        files: Iterable[Path | str | tuple[str, bytes]],
        model: str = "u2net",
        metadata: Mapping[str, object] | None = None,
        skip_invalid: bool = False,
    ) -> str:
        """Queue pictures given as paths or as (name, bytes); return the job's id.

        Raises UnknownModel, NoFiles and InvalidFiles.
        """
        model_name = catalog.find(model).name
        submission = self.begin_submission()
        try:
            for item in files:
                if isinstance(item, tuple):
                    upload = submission.add(item[0])
                    upload.write(item[1])
                else:
                    upload = submission.add(Path(item).name)
                    with Path(item).open("rb") as source:
                        while chunk := source.read(COPY_BYTES):
                            upload.write(chunk)
                upload.finish()
        except Exception:
            submission.discard()
            raise
        return self.submit(submission, model=model_name, metadata=metadata, skip_invalid=skip_invalid).job.id

    def on_submit(self, listener: Callable[[], None]) -> None:
        """Call `listener`, from any thread, whenever this process has queued something."""
        self._listeners.append(listener)

    # --- look -----------------------------------------------------------------------------------------------

    def job(self, job_id: str) -> Job:
        """Raises JobNotFound and JobExpired."""
        job = self._jobs.get(job_id)
        if job is None:
            raise self._gone(job_id)
        return job

    def _gone(self, job_id: str) -> JobNotFound | JobExpired:
        expired_at = self._jobs.expired_at(job_id)
        if expired_at is None:
            return JobNotFound(job_id)
        return JobExpired(f"Job {job_id} expired: it was deleted with its pictures at {expired_at}.")

    def get_job(self, job_id: str) -> dict[str, object] | None:
        """The job as a plain dict keyed by the columns of `jobs`, what was noted on it included; None if unknown."""
        job = self._jobs.get(job_id)
        return None if job is None else job.as_row()

    def get_pending_jobs(self, limit: int = 1000) -> list[dict[str, object]]:
        """Jobs that nobody has begun, oldest first."""
        return [job.as_row() for job in self._jobs.oldest_pending(limit)]

    def list_jobs(self, status: JobStatus | None, limit: int, before: tuple[str, str] | None = None) -> Page:
        return self._jobs.page(status, limit, before)

    def get_job_stats(self) -> dict[str, int]:
        """Jobs by status, and their total."""
        counts = self._jobs.counts()
        stats = {status.value: counts.get(f"jobs.{status}", 0) for status in JobStatus}
        return stats | {"total": sum(stats.values())}

    def active_files(self) -> int:
        """Pictures being worked on now, on every machine."""
        return self._jobs.counts().get("files.processing", 0)

    def position(self, job: Job) -> int | None:
        """Place in the queue of the job's next file, 1 being next; None when none of its files waits."""
        if job.status.ended:
            return None
        ahead = self._jobs.pending_before(job.id)
        return None if ahead is None else ahead + 1

    def result(self, job_id: str, index: int) -> JobFile:
        """The file whose result can be read now. Raises what says why not."""
        job = self.job(job_id)
        if not 0 <= index < job.total_files:
            raise ResultNotFound(
                f"Files of job {job_id} are counted from 0 to {job.total_files - 1}: there is no {index}."
            )
        file = self._jobs.file(job_id, index)
        if file is None:
            raise ResultUnavailable(f"Job {job_id} was made by an earlier version of the service: no result was kept.")
        if file.status is JobStatus.COMPLETED:
            return file
        if not file.status.ended:
            raise JobNotFinished(f"{file.filename} is not finished yet: it is {file.status}.")
        reason = file.error_message if file.status is JobStatus.FAILED else "The job was cancelled."
        raise ResultUnavailable(f"There is no result for {file.filename}. {reason}")

    def results(self, job_id: str) -> list[JobFile]:
        """All files of an ended job. Raises JobNotFinished; ResultUnavailable when not one has a result."""
        job = self.job(job_id)
        if not job.status.ended:
            raise JobNotFinished(f"Job {job_id} is not finished yet: it is {job.status}.")
        files = self._jobs.files(job_id)
        if not any(file.status is JobStatus.COMPLETED for file in files):
            raise ResultUnavailable(
                f"Job {job_id} has no results: it is {job.status}. {job.error_message or ''}".strip()
            )
        return files

    # --- change ---------------------------------------------------------------------------------------------

    def cancel_job(self, job_id: str, force: bool = False) -> Job:
        """Cancel a pending job; with `force` a running one too. Raises IllegalTransition for any other state."""
        states = (JobStatus.PENDING, JobStatus.PROCESSING) if force else (JobStatus.PENDING,)
        before = self._jobs.cancel(self.clock(), job_id, states)
        if before is None:
            raise self._gone(job_id)
        if before not in (*states, JobStatus.CANCELLED):
            raise IllegalTransition(
                f"Job {job_id} cannot be cancelled: it is {before}."
                + (" A running job is stopped with force=true." if before is JobStatus.PROCESSING else "")
            )
        if before is not JobStatus.CANCELLED:
            logger.info("job %s cancelled (was %s)", job_id, before)
            for file in self._jobs.files(job_id):
                if file.status is JobStatus.CANCELLED:
                    self._delete_bytes(file.input_key)
        return self.job(job_id)

    def update_job_status(self, job_id: str, status: JobStatus | str, **notes: object) -> None:
        """Re-queue a failed job (PENDING) or cancel a pending one; other keywords are noted on the job."""
        wanted = JobStatus(status)
        job = self.job(job_id)
        if wanted is JobStatus.PENDING and job.status is JobStatus.FAILED:
            self.retry_job(job_id)
        elif wanted is JobStatus.CANCELLED:
            self.cancel_job(job_id)
        elif wanted is not job.status:
            raise IllegalTransition(f"Job {job_id} is {job.status}; only the worker can make it {wanted}.")
        if notes:
            self._jobs.annotate(job_id, notes)

    def retry_job(self, job_id: str) -> Job:
        """Queue the failed files of a failed job again. Raises IllegalTransition."""
        before, again = self._jobs.retry(self.clock(), job_id)
        if before is None:
            raise self._gone(job_id)
        if before is not JobStatus.FAILED:
            raise IllegalTransition(f"Job {job_id} cannot be retried: it is {before}, not failed.")
        if again == 0:
            raise IllegalTransition(f"Job {job_id} cannot be retried: its pictures were not kept.")
        logger.info("job %s: %d files queued again", job_id, again)
        for listener in self._listeners:
            listener()
        return self.job(job_id)

    def set_paused(self, paused: bool) -> None:
        """Paused, workers finish what they have and claim nothing."""
        self._workers.set_paused(paused)
        logger.warning("queue %s", "paused" if paused else "resumed")
        for listener in self._listeners:
            listener()

    def is_paused(self) -> bool:
        return self._workers.is_paused()

    # --- for workers ----------------------------------------------------------------------------------------

    def claim(self, worker_id: str, limit: int, excluded_models: Iterable[str] = ()) -> list[Lease]:
        """Take files in queue order; nothing while the queue is paused."""
        now = self.clock()
        if self.is_paused() or not self._files.any_available(now):
            return []
        token = uuid.uuid4().hex
        claimed = self._files.claim(now, limit, worker_id, token, self.lease_seconds, frozenset(excluded_models))
        return [Lease(file, token) for file in claimed]

    def heartbeat(self, worker: WorkerState, leases: Sequence[Lease]) -> set[int]:
        """Report the worker alive and extend its leases; return the file ids that it still holds."""
        self._workers.report(worker)
        return self._files.heartbeat(self.clock(), [lease.key for lease in leases], self.lease_seconds)

    def held(self, leases: Sequence[Lease]) -> set[int]:
        return self._files.held([lease.key for lease in leases])

    def complete(self, lease: Lease, outcome: Outcome) -> None:
        """Publish a result that is in storage. Raises LeaseLost, and then its bytes are gone."""
        try:
            self._files.complete(self.clock(), lease.file.id, lease.token, outcome)
        except LeaseLost:
            self._delete_bytes(outcome.output_key)
            raise

    def fail(self, lease: Lease, code: str, message: str, seconds: float | None = None) -> None:
        """End a file without a result. Raises LeaseLost."""
        self._files.fail(self.clock(), lease.file.id, lease.token, code, message, seconds)

    def retry_later(self, lease: Lease, code: str, message: str, delay_seconds: float) -> None:
        """Count the attempt and try again later. Raises LeaseLost."""
        self._files.retry_later(self.clock(), lease.file.id, lease.token, code, message, delay_seconds)

    def release(self, leases: Sequence[Lease]) -> None:
        """Give files back untouched."""
        self._files.release([lease.key for lease in leases])

    def take_over(self, worker: WorkerState) -> None:
        """Free what earlier workers of this machine left behind: the caller holds the machine's lock."""
        self._workers.report(worker)
        for file in self._files.free_dead_workers(self.clock(), worker.machine, worker.id):
            logger.warning("job %s file %d: its worker died, queued again", file.job_id, file.position)

    def expire_leases(self) -> None:
        for file in self._files.expire_leases(self.clock(), self.lease_seconds):
            logger.warning("job %s file %d: lease expired, queued again", file.job_id, file.position)

    def workers(self) -> list[WorkerState]:
        """Workers heard of within one lease."""
        late = self.clock() - timedelta(seconds=self.lease_seconds)
        return [worker for worker in self._workers.all() if datetime.fromisoformat(worker.heartbeat_at) > late]

    def not_ready_because(self) -> str | None:
        """None when a picture submitted now can be processed; otherwise the reason."""
        workers = self.workers()
        if not workers:
            return "No worker is running yet."
        if any(worker.state.get("ready") for worker in workers):
            return None
        return next(
            (str(worker.state["trouble"]) for worker in workers if worker.state.get("trouble")),
            "The default model is being loaded.",
        )

    def forget_worker(self, worker_id: str) -> None:
        self._workers.remove(worker_id)

    # --- retention ------------------------------------------------------------------------------------------

    def cleanup_old_jobs(self, days: float = 7) -> int:
        """Delete jobs that ended more than `days` ago, with their uploads and results; how many."""
        now = self.clock()
        total = 0
        while True:
            count, keys = self._jobs.expire(now, now - timedelta(days=days), EXPIRE_BATCH)
            for key in keys:
                self._delete_bytes(key)
            total += count
            if count == 0:
                break
        while self._jobs.forget_expired(now - EXPIRED_MEMORY, 1000):
            pass
        if total:
            logger.info("%d jobs older than %g days deleted", total, days)
        return total

    def sweep_orphans(self, older_than: timedelta = ORPHAN_AGE) -> int:
        """Delete bytes that no row refers to, left over from crashes; how many blobs."""
        deleted = 0
        job_id, used = "", frozenset[str]()
        for key in self.storage.keys(self.clock() - older_than):
            if key.count("/") != 2:  # the worker's lock, the fork server's socket
                continue
            owner = key.split("/")[1]
            if owner != job_id:
                job_id, used = owner, frozenset(self._jobs.used_keys(owner))
            if key not in used:
                self._delete_bytes(key)
                deleted += 1
        if deleted:
            logger.warning("%d orphan blobs deleted", deleted)
        return deleted

    def _delete_bytes(self, key: str) -> None:
        try:
            self.storage.delete(key)
        except StorageError as error:
            logger.warning("blob %s is left for the sweep: %s", key, error)
