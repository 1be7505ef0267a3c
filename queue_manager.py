"""Every rule of a job's life. The only place that pairs a row with its bytes. All methods are synchronous."""

import logging
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import retention
from database.change_store import ChangeStore
from database.engine import Database
from database.file_store import FileStore
from database.job_store import JobStore, Page
from database.key_store import KeyStore, KnownKey, Reservation
from database.worker_store import WorkerStore
from errors import (
    IllegalTransition,
    InvalidFiles,
    JobExpired,
    JobNotFinished,
    JobNotFound,
    KeyReused,
    LeaseLost,
    NoFiles,
    QueueFull,
    ResultNotFound,
    ResultUnavailable,
    StorageFull,
)
from idempotency import IdempotencyKeys
from job import Job, JobFile, JobStatus, Lease, NewFile, Outcome, Priority, WorkerState, utc_now
from listeners import Listeners
from models import catalog
from reuse import EarlierResults, with_reuse_keys
from storage.base import Storage
from submission import Limits, Queued, Submission
from worker_report import reason_not_ready, seconds_for

__all__ = ["JobStatus", "QueueManager"]

logger = logging.getLogger(__name__)


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
        self.changes = ChangeStore(database)
        self.earlier_results = EarlierResults(self._files, storage)
        self._keys = KeyStore(database)
        self.keys = IdempotencyKeys(self._keys, self._jobs, clock)
        self._workers = WorkerStore(database)
        # Of what this process does: something can be claimed; files of the jobs with these ids have ended.
        self.on_submit: Listeners[[]] = Listeners()
        self.on_end: Listeners[[Collection[str]]] = Listeners()

    # --- submit ---------------------------------------------------------------------------------------------

    def begin_submission(self, expected_bytes: int = 0, known: bool = False) -> Submission:
        """Raises QueueFull, unless its job is `known` already, and StorageFull: nobody should upload for nothing."""
        pending = self._jobs.counts().get("files.pending", 0)
        if pending >= self.limits.max_pending_files and not known:
            raise QueueFull(pending, self.limits.max_pending_files, self.seconds_for(1))
        submission = Submission(self.storage, self.limits, str(uuid.uuid4()))
        submission.check_disk(min(expected_bytes, self.limits.max_request_bytes))
        return submission

    def submit(
        self,
        submission: Submission,
        *,
        model: str,
        operation: str = "remove_background",
        params: Mapping[str, object] | None = None,
        metadata: Mapping[str, object] | None = None,
        priority: Priority = Priority.NORMAL,
        skip_invalid: bool = False,
        cache: bool = True,
        key: Reservation | KnownKey | None = None,
    ) -> Queued:
        """Queue what has arrived. Raises NoFiles, InvalidFiles, QueueFull and KeyReused, and then nothing is stored."""
        params = params if params is not None else {"model": model}
        try:
            if submission.rejected and not (skip_invalid and submission.accepted):
                raise InvalidFiles(submission.rejected)
            if not submission.accepted:
                raise NoFiles("There is no picture: give at least one file.")
            fingerprint = submission.fingerprint({"operation": operation, "priority": priority, **params})
            if isinstance(key, KnownKey):
                return self._replay(submission, key, fingerprint)
            files: Sequence[NewFile] = submission.accepted
            if cache:
                files = with_reuse_keys(files, operation, params, catalog.find(model))
            workers = self.workers()
            job, ahead = self._jobs.insert(
                self.clock(),
                submission.job_id,
                operation,
                model,
                params,
                metadata or {},
                priority,
                files,
                [file.input_key for file in submission.attachments.values()],
                self.limits.max_pending_files,
                None if key is None else replace(key, fingerprint=fingerprint),
            )
        except Exception:
            submission.discard()
            raise
        logger.info("job %s queued: files %d, model %s", submission.job_id, len(submission.accepted), model)
        self.on_submit.tell()
        return Queued(job, ahead + 1, seconds_for(ahead + 1, workers), submission.rejected, replayed=False)

    def _replay(self, submission: Submission, key: KnownKey, fingerprint: str) -> Queued:
        if fingerprint != key.fingerprint:
            raise KeyReused(
                f"The Idempotency-Key was used for job {key.job_id} with other pictures or parameters. "
                "Take a new key for a new job."
            )
        submission.discard()
        job = self.job(key.job_id)
        position = self.position(job)
        wait = None if position is None else self.seconds_for(position)
        return Queued(job, position, wait, submission.rejected, replayed=True)

    def create_job(
        self,
        files: Path | str | Iterable[Path | str | tuple[str, bytes]],
        model: str = "u2net",
        metadata: Mapping[str, object] | None = None,
        priority: Priority = Priority.NORMAL,
        skip_invalid: bool = False,
    ) -> str:
        """Queue pictures given as paths or as (name, bytes); return the job's id.

        Raises UnknownModel, NoFiles and InvalidFiles.
        """
        model_name = catalog.find(model).name
        submission = self.begin_submission()
        try:
            submission.take([files] if isinstance(files, str | Path) else files)
        except Exception:
            submission.discard()
            raise
        return self.submit(
            submission, model=model_name, metadata=metadata, priority=priority, skip_invalid=skip_invalid
        ).job.id

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

    def unfinished(self, job_ids: Collection[str]) -> set[str]:
        """Those of the jobs that have not ended, and are still known."""
        return self._jobs.unfinished(job_ids)

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

    def seconds_for(self, files: int) -> float | None:
        """How long the workers need for so many files; None when unknown."""
        return seconds_for(files, self.workers())

    def next_attempt(self, job: Job) -> tuple[int, str] | None:
        """Failed attempts of the file that is tried again next, and when; None when none waits for that."""
        return None if job.status.ended else self._jobs.next_attempt(job.id)

    def file(self, job_id: str, index: int) -> JobFile:
        """Raises JobNotFound, JobExpired, ResultNotFound; ResultUnavailable of a job of the earlier service."""
        job = self.job(job_id)
        if not 0 <= index < job.total_files:
            raise ResultNotFound(f"The files of job {job_id} are 0 to {job.total_files - 1}: there is no {index}.")
        file = self._jobs.file(job_id, index)
        if file is None:
            raise ResultUnavailable(f"Job {job_id} was made by an earlier version of the service: no result was kept.")
        return file

    def result(self, job_id: str, index: int) -> JobFile:
        """The file whose result can be read now. Raises what says why not."""
        file = self.file(job_id, index)
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
            why = f"Job {job_id} has no results: it is {job.status}. {job.error_message or ''}"
            raise ResultUnavailable(why.strip())
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
                    retention.delete_bytes(self.storage, file.input_key)
            self.on_end.tell([job_id])
        return self.job(job_id)

    def update_job_status(self, job_id: str, status: JobStatus | str, **notes: object) -> None:
        """Re-queue a failed job (PENDING) or cancel a pending one; other keywords are noted on the job."""
        wanted = JobStatus(status)
        job = self.job(job_id)
        if wanted is JobStatus.PENDING and job.status in (JobStatus.FAILED, JobStatus.COMPLETED):
            self.retry_job(job_id)
        elif wanted is JobStatus.CANCELLED:
            self.cancel_job(job_id)
        elif wanted is not job.status:
            raise IllegalTransition(f"Job {job_id} is {job.status}; only the worker can make it {wanted}.")
        if notes:
            self._jobs.annotate(job_id, notes)

    def retry_job(self, job_id: str) -> Job:
        """Queue the failed files of an ended job again; the others keep their results. Raises IllegalTransition."""
        before, again = self._jobs.retry(self.clock(), job_id)
        if before is None:
            raise self._gone(job_id)
        if before not in (JobStatus.FAILED, JobStatus.COMPLETED):
            raise IllegalTransition(f"Job {job_id} cannot be retried: it is {before}.")
        if again == 0:
            completed = before is JobStatus.COMPLETED
            reason = "and none of its files failed" if completed else "but its pictures were not kept"
            raise IllegalTransition(f"Job {job_id} cannot be retried: it is {before}, {reason}.")
        logger.info("job %s: files queued again: %d", job_id, again)
        self.on_submit.tell()
        return self.job(job_id)

    def set_paused(self, paused: bool) -> None:
        """Paused, workers finish what they have and claim nothing."""
        self._workers.set_paused(paused)
        logger.warning("queue %s", "paused" if paused else "resumed")
        self.on_submit.tell()

    def is_paused(self) -> bool:
        return self._workers.is_paused()

    # --- for workers ----------------------------------------------------------------------------------------

    def claim(self, worker_id: str, limit: int, excluded_models: Iterable[str] = ()) -> list[Lease]:
        """Take files in queue order; nothing while the queue is paused. Raises StorageFull: no room for results."""
        now, excluded = self.clock(), frozenset(excluded_models)
        with self.database.read():
            if self.is_paused() or not self._files.any_available(now, excluded):
                return []
        if self.disk_is_low():
            raise StorageFull("The disk is nearly full: nothing is begun until there is room for results.")
        token = uuid.uuid4().hex
        claimed = self._files.claim(now, limit, worker_id, token, self.lease_seconds, excluded)
        return [Lease(file, token) for file in claimed]

    def disk_is_low(self) -> bool:
        return self.storage.free_bytes() <= self.limits.disk_reserve_bytes

    def heartbeat(self, worker: WorkerState, leases: Sequence[Lease]) -> set[int]:
        """Report the worker alive and extend its leases; return the file ids that it still holds."""
        self._workers.report(worker)
        return self._files.heartbeat(self.clock(), [lease.key for lease in leases], self.lease_seconds)

    def held(self, leases: Sequence[Lease]) -> set[int]:
        return self._files.held([lease.key for lease in leases])

    def complete(self, lease: Lease, outcome: Outcome) -> None:
        """Publish a result that is in storage. Raises LeaseLost; bytes that were not published are gone then."""
        self.storage.flush(outcome.output_key)
        if self.complete_many([(lease, outcome)]):
            raise LeaseLost(f"File {lease.file.id} is not under the lease {lease.token} any more.")

    def complete_many(self, finished: Sequence[tuple[Lease, Outcome]]) -> list[Lease]:
        """The same in one transaction for results that are flushed already; returns the leases that were lost."""
        lost = self._files.complete_many(self.clock(), [(*lease.key, outcome) for lease, outcome in finished])
        for lease, outcome in finished:
            # This very attempt may have published them before.
            if lease.file.id in lost and outcome.output_key not in self._jobs.used_keys([lease.file.job_id]):
                retention.delete_result(self.storage, outcome.output_key)
        self.on_end.tell({lease.file.job_id for lease, _ in finished})
        return [lease for lease, _ in finished if lease.file.id in lost]

    def fail(self, lease: Lease, code: str, message: str, seconds: float | None = None) -> None:
        """End a file without a result. Raises LeaseLost."""
        self._files.fail(self.clock(), lease.file.id, lease.token, code, message, seconds)
        self.on_end.tell([lease.file.job_id])

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
        """None when pictures can be taken and processed, if only after a pause; otherwise the reason.

        Raises DatabaseError and StorageError when they cannot be written to.
        """
        self._workers.check_writable()
        if self.disk_is_low():
            return "The disk is nearly full."
        return reason_not_ready(self.workers())

    def forget_worker(self, worker_id: str) -> None:
        self._workers.remove(worker_id)

    # --- retention ------------------------------------------------------------------------------------------

    def cleanup_old_jobs(self, days: float = 7) -> int:
        """Delete jobs that ended more than `days` ago, with their uploads and results; how many."""
        self._workers.forget_silent(self.clock() - retention.SILENT_WORKER)
        return retention.delete_old_jobs(self.clock(), days, self._jobs, self._keys, self.storage)

    def sweep_orphans(self, older_than: timedelta = retention.ORPHAN_AGE) -> int:
        """Delete bytes that no row refers to, left over from crashes; how many blobs."""
        return retention.delete_orphans(self.clock(), older_than, self._jobs, self.storage)
