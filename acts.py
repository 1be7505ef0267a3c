"""What people do to jobs and to the queue: cancel, retry, another priority, pause; to one job or to many at once.

Each act is a line of the history, written in the transaction that does it.
"""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import retention
from database.act_store import ActStore, Done, Whole
from database.engine import Database
from database.history_store import HistoryStore, Line
from database.job_store import JobStore
from database.worker_store import WorkerStore
from errors import IllegalTransition
from job import Act, Deed, JobFilter, JobStatus, timestamp
from listeners import Listeners
from storage.base import Storage

logger = logging.getLogger(__name__)

# Who acts in this process, and not over HTTP.
PYTHON = "python"
MOST_JOBS = 1000
# Of one transaction, so that the write lock is not held for long.
BATCH_JOBS = 100
BATCH_FILES = 500
MOST_TOLD = 20


@dataclass
class Tally:
    """What became of an act on many jobs. `left`: jobs to which it still applies, beyond those of this call."""

    as_of: str
    left: int = 0
    changed: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    refused_count: int = 0

    def refuse(self, job_id: str, reason: str) -> None:
        self.refused_count += 1
        if len(self.refused) < MOST_TOLD:
            self.refused[job_id] = reason


class Acts:
    """`by` is the address of whoever acts, None for what the service does by itself."""

    def __init__(
        self,
        database: Database,
        storage: Storage,
        clock: Callable[[], datetime],
        on_submit: Listeners[[]],
        on_end: Listeners[[Collection[str]]],
    ) -> None:
        self._store = ActStore(database)
        self._jobs = JobStore(database)
        self._workers = WorkerStore(database)
        self._history = HistoryStore(database)
        self._storage = storage
        self._clock = clock
        self._on_submit = on_submit
        self._on_end = on_end

    def on_one(self, act: Act, job_id: str, by: str | None, detail: str | None = None) -> None:
        """Raises JobNotFound, JobExpired and IllegalTransition."""
        done = self._store.do(self._clock(), act, [job_id], by, detail)
        self._follow_up(act, done)
        if job_id not in done.before:
            raise self._jobs.gone(job_id)
        reason = refusal(act, job_id, done)
        if reason is not None:
            raise IllegalTransition(reason)

    def on_these(self, act: Act, job_ids: Sequence[str], by: str | None) -> Tally:
        """Up to MOST_JOBS jobs by their ids."""
        ids = list(dict.fromkeys(job_ids))
        tally = Tally(timestamp(self._clock()))
        self._on_many(act, ids, by, whole_of(act, "selected"), tally)
        return tally

    def on_matching(
        self, act: Act, wanted: JobFilter, of_what: str, as_of: datetime | None, most: int, by: str | None
    ) -> Tally:
        """Up to `most` of the jobs to which filter and act apply. To go on, ask again with the same `as_of`.

        Jobs that were queued, or ended, after `as_of` do not count, so that the others become fewer with each call.
        """
        moment = as_of or self._clock()
        wanted = replace(wanted, until=min(wanted.until or timestamp(moment), timestamp(moment)))
        chosen, left = self._store.candidates(act, wanted, moment, most)
        tally = Tally(timestamp(moment), left)
        self._on_many(act, chosen, by, whole_of(act, of_what), tally)
        return tally

    def _on_many(self, act: Act, job_ids: Sequence[str], by: str | None, whole: Whole, tally: Tally) -> None:
        for batch in batches(job_ids, self._store.sizes(job_ids)):
            done = self._store.do(self._clock(), act, batch, by, whole=whole)
            self._follow_up(act, done)
            tally.changed += len(done.details)
            for job_id in batch:
                reason = refusal(act, job_id, done) if job_id in done.before else str(self._jobs.gone(job_id))
                if reason is not None:
                    tally.refuse(job_id, reason)

    def _follow_up(self, act: Act, done: Done) -> None:
        """What those have to hear of it who work or wait, and bytes that nobody needs any more."""
        for job_id, detail in done.details.items():
            logger.info("job %s: %s (was %s) %s", job_id, act.deed, done.before[job_id], detail or "")
        if not done.details:
            return
        for key in done.dropped:
            retention.delete_bytes(self._storage, key)
        if act.deed is Deed.CANCEL:
            self._on_end.tell(list(done.details))
        else:
            self._on_submit.tell()

    def set_paused(self, paused: bool, by: str | None) -> None:
        """Paused, workers finish what they have and claim nothing."""
        if self._workers.set_paused(self._clock(), paused, by):
            logger.warning("queue %s", "paused" if paused else "resumed")
        self._on_submit.tell()

    def history(self, limit: int, before: int | None) -> tuple[list[Line], int | None]:
        """What people did, newest first; and the last line's id when there are more."""
        return cut(self._history.acts(limit + 1, before), limit)

    def history_of(self, job_id: str, limit: int, after: int | None) -> tuple[list[Line], int | None]:
        """What happened to a job by people or by mishap, oldest first; and the last line's id when there are more."""
        return cut(self._history.of_job(job_id, limit + 1, after or 0), limit)


def cut(found: list[Line], limit: int) -> tuple[list[Line], int | None]:
    """A page out of one line more than it holds, and the last line's id when there are more."""
    shown = found[:limit]
    return shown, shown[-1].id if len(found) > limit else None


def whole_of(act: Act, of_what: str) -> Whole:
    """`of_what` says in words which jobs are meant."""
    how = f", to {act.priority}" if act.deed is Deed.PRIORITY else ", running ones too" if act.force else ""
    return Whole(of_what + how)


def batches(job_ids: Sequence[str], sizes: Mapping[str, int]) -> Iterator[list[str]]:
    """For one transaction each: at most BATCH_JOBS with BATCH_FILES in all, but one job at least."""
    batch: list[str] = []
    count = 0
    for job_id in job_ids:
        size = sizes.get(job_id, 0)
        if batch and (len(batch) == BATCH_JOBS or count + size > BATCH_FILES):
            yield batch
            batch, count = [], 0
        batch.append(job_id)
        count += size
    if batch:
        yield batch


def refusal(act: Act, job_id: str, done: Done) -> str | None:
    """Why it was not done to a job that is known; None when it was, or when the job is as it is asked to be."""
    before = done.before[job_id]
    if job_id in done.details:
        return None
    if act.deed is Deed.CANCEL:
        if before is JobStatus.CANCELLED:
            return None
        hint = " A running job is stopped with force=true." if before is JobStatus.PROCESSING else ""
        return f"Job {job_id} cannot be cancelled: it is {before}.{hint}"
    if act.deed is Deed.PRIORITY:
        return f"The priority of job {job_id} cannot be changed: it is {before}." if before.ended else None
    if before not in act.from_states:
        return f"Job {job_id} cannot be retried: it is {before}."
    completed = before is JobStatus.COMPLETED
    why = "and none of its files failed" if completed else "but its pictures were not kept"
    return f"Job {job_id} cannot be retried: it is {before}, {why}."
