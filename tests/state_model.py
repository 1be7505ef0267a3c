"""What the queue should do, told in a few lines of plain Python, for tests/test_queue_state_machine.py."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from job import JobStatus

LEASE = timedelta(seconds=60)
LONGEST_WAIT = timedelta(minutes=10)


@dataclass
class ModelFile:
    """`token` and `worker` while it is leased; `winner` is the token under which its result was published."""

    job_id: str
    position: int
    precedence: int
    available_at: datetime
    status: JobStatus = JobStatus.PENDING
    attempts: int = 0
    lost_leases: int = 0
    token: str | None = None
    worker: str | None = None
    expires: datetime | None = None
    winner: str | None = None

    def put_back(self) -> None:
        self.status, self.token, self.worker, self.expires = JobStatus.PENDING, None, None, None

    def end(self, status: JobStatus) -> None:
        self.put_back()
        self.status = status


@dataclass
class ModelJob:
    id: str
    files: list[ModelFile]
    begun: bool = False
    cancelled: bool = False
    ended_at: datetime | None = None

    @property
    def status(self) -> JobStatus:
        states = {file.status for file in self.files}
        if self.cancelled:
            return JobStatus.CANCELLED
        if any(not state.ended for state in states):
            return JobStatus.PROCESSING if self.begun else JobStatus.PENDING
        return JobStatus.COMPLETED if JobStatus.COMPLETED in states else JobStatus.FAILED

    def count(self, status: JobStatus) -> int:
        return sum(file.status is status for file in self.files)


@dataclass
class Model:
    """Files in the order of their ids; jobs that retention took are gone from both and noted in `expired`."""

    max_lost_leases: int
    jobs: dict[str, ModelJob] = field(default_factory=dict)
    expired: set[str] = field(default_factory=set)
    paused: bool = False

    @property
    def files(self) -> list[ModelFile]:
        return [file for job in self.jobs.values() for file in job.files]

    def pending(self) -> int:
        return sum(file.status is JobStatus.PENDING for file in self.files)

    def file(self, job_id: str, position: int) -> ModelFile | None:
        return self.jobs[job_id].files[position] if job_id in self.jobs else None

    def submit(self, job_id: str, count: int, precedence: int, now: datetime) -> None:
        self.jobs[job_id] = ModelJob(job_id, [ModelFile(job_id, place, precedence, now) for place in range(count)])

    def claimable(self, limit: int, now: datetime) -> list[ModelFile]:
        """In queue order; a file that would wait absurdly long was written under another clock."""
        if self.paused:
            return []
        waiting = [file for file in self.files if file.status is JobStatus.PENDING]
        ready = [file for file in waiting if not now < file.available_at <= now + LONGEST_WAIT]
        return sorted(ready, key=lambda file: file.precedence)[:limit]

    def claim(self, file: ModelFile, token: str, worker: str, now: datetime) -> None:
        file.status, file.token, file.worker, file.expires = JobStatus.PROCESSING, token, worker, now + LEASE
        self.jobs[file.job_id].begun = True

    def free_silent(self, now: datetime) -> None:
        for file in self.files:
            if file.expires is not None and not now < file.expires <= now + 2 * LEASE:
                self.lose(file, now)

    def free_dead(self, workers: set[str], now: datetime) -> None:
        for file in self.files:
            if file.worker in workers:
                self.lose(file, now)

    def lose(self, file: ModelFile, now: datetime) -> None:
        file.lost_leases += 1
        file.put_back()
        if file.lost_leases >= self.max_lost_leases:
            file.end(JobStatus.FAILED)
            self.note_end(file.job_id, now)

    def note_end(self, job_id: str, now: datetime) -> None:
        job = self.jobs[job_id]
        if job.status.ended:
            job.ended_at = now

    def cancel(self, job: ModelJob, now: datetime) -> None:
        for file in job.files:
            if not file.status.ended:
                file.end(JobStatus.CANCELLED)
        job.cancelled, job.ended_at = True, now

    def retry(self, job: ModelJob, now: datetime) -> None:
        for file in job.files:
            if file.status is JobStatus.FAILED:
                file.put_back()
                file.attempts, file.lost_leases, file.available_at = 0, 0, now
        job.begun, job.ended_at = False, None

    def expire(self, ended_before: datetime) -> int:
        gone = {job.id for job in self.jobs.values() if job.ended_at is not None and job.ended_at < ended_before}
        self.expired |= gone
        self.jobs = {job_id: job for job_id, job in self.jobs.items() if job_id not in gone}
        return len(gone)
