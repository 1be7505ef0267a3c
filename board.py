"""What people who watch a queue ask: how it is doing, who works on what, what became of each file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from database.board_store import BoardStore, Minute, Pulse
from database.engine import Database
from database.job_search import Place
from database.job_store import JobStore, Page
from job import JobFile, JobFilter, WorkerState


@dataclass(frozen=True)
class Bench:
    """One worker with the files that it has in hand: in its slots, and claimed ahead for the next free ones."""

    worker: WorkerState
    running: Sequence[JobFile]
    next: Sequence[JobFile]


class Board:
    """Looks, and forgets what nobody looks at any more."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._store = BoardStore(database)
        self._jobs = JobStore(database)
        self._clock = clock

    def pulse(self) -> Pulse:
        return self._store.pulse(self._clock())

    def throughput(self, minutes: int) -> list[Minute]:
        """Files that ended in each of the last minutes, oldest first."""
        return self._store.throughput(self._clock(), minutes)

    def forget_minutes(self) -> None:
        """Those that nobody can ask for any more."""
        self._store.forget_minutes(self._clock())

    def benches(self, workers: Sequence[WorkerState]) -> list[Bench]:
        """Each worker with its files. Slots are taken in the order of claims, so nobody has to tell who has one."""
        in_hand = self._store.in_hand()
        return [
            Bench(worker, mine[: worker.max_concurrent], mine[worker.max_concurrent :])
            for worker in workers
            for mine in [in_hand.get(worker.id, [])]
        ]

    def jobs(self, wanted: JobFilter, limit: int, before: Place | None) -> Page:
        """Jobs newest first. A page may hold fewer than `limit`, even none, and still have a `next`."""
        if wanted == JobFilter(status=wanted.status):
            return self._jobs.page(wanted.status, limit, before)
        return self._store.jobs(wanted, limit, before)

    def files(self, job_id: str, limit: int, after: int) -> tuple[list[JobFile], int | None]:
        """Files of a job beyond a position, and the last one's position when there are more."""
        found = self._store.files(job_id, limit + 1, after)
        shown = found[:limit]
        return shown, shown[-1].position if len(found) > limit else None
