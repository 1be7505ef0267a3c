"""Whatever happens to a queue, in any order: counters stay true and every change of state is a legal one."""

import random
from collections.abc import Callable
from datetime import timedelta

import pytest

from database.act_store import ActStore, Whole
from database.engine import Database
from database.file_store import FileStore
from database.job_store import JobStore
from database.worker_store import WorkerStore
from errors import LeaseLost
from job import FILE_TRANSITIONS, TRANSITIONS, Act, Deed, Priority
from tests.database.jobs import (
    CANCEL,
    FORCE,
    LEASE_SECONDS,
    NOW,
    OUTCOME,
    RETRY,
    add_job,
    contradictions,
    counted,
    recounted,
    states,
)
from tests.queues import worker_state

STEPS = 150


class Life:
    """Random acts on a queue. Leases are never forgotten, so that late workers report too."""

    def __init__(self, database: Database, seed: int) -> None:
        self.random = random.Random(seed)
        self.now = NOW
        self.jobs, self.files, self.workers = JobStore(database), FileStore(database), WorkerStore(database)
        self.people = ActStore(database)
        self.job_ids: list[str] = []
        self.leases: list[tuple[int, str]] = []
        self.acts: dict[Callable[[], None], int] = {
            self.submit: 4,
            self.claim: 6,
            self.complete: 4,
            self.complete_many: 2,
            self.fail: 4,
            self.retry_later: 2,
            self.release: 2,
            self.heartbeat: 1,
            self.cancel: 1,
            self.retry: 2,
            self.act_on_many: 2,
            self.let_time_pass: 1,
            self.die: 1,
            self.clean_up: 1,
        }

    def step(self) -> str:
        (act,) = self.random.choices(list(self.acts), list(self.acts.values()))
        act()
        return act.__name__

    def a_job(self) -> str:
        return self.random.choice(self.job_ids or ["nobody"])

    def a_lease(self) -> tuple[int, str]:
        return self.random.choice(self.leases[-6:] or [(0, "none")])

    def submit(self) -> None:
        self.job_ids.append(add_job(self.jobs, self.random.randint(1, 3), now=self.now))

    def claim(self) -> None:
        worker, token = self.random.choice("ab"), f"{self.random.random()}"
        self.workers.report(worker_state(worker, self.now))
        claimed = self.files.claim(self.now, self.random.randint(1, 4), worker, token, LEASE_SECONDS)
        self.leases += [(file.id, token) for file in claimed]

    def complete(self) -> None:
        try:
            self.files.complete(self.now, *self.a_lease(), OUTCOME)
        except LeaseLost:
            return

    def complete_many(self) -> None:
        lost = self.files.complete_many(self.now, [(*lease, OUTCOME) for lease in self.leases[-4:]])
        assert lost <= {file_id for file_id, _ in self.leases}

    def fail(self) -> None:
        try:
            self.files.fail(self.now, *self.a_lease(), "damaged", "It is damaged.", None)
        except LeaseLost:
            return

    def retry_later(self) -> None:
        try:
            self.files.retry_later(self.now, *self.a_lease(), "timeout", "It took too long.", 10)
        except LeaseLost:
            return

    def release(self) -> None:
        self.files.release([self.a_lease(), self.a_lease()])

    def heartbeat(self) -> None:
        self.files.heartbeat(self.now, self.leases[-3:], LEASE_SECONDS)

    def cancel(self) -> None:
        self.people.do(self.now, FORCE if self.random.random() < 0.5 else CANCEL, [self.a_job()], "tester")

    def retry(self) -> None:
        self.people.do(self.now, RETRY, [self.a_job()], "tester")

    def act_on_many(self) -> None:
        priority = Act(Deed.PRIORITY, priority=self.random.choice(list(Priority)))
        act = self.random.choices([CANCEL, FORCE, RETRY, priority], [1, 1, 4, 6])[0]
        some = {self.a_job() for _ in range(4)}
        done = self.people.do(self.now, act, some, "tester", whole=Whole("some"))
        assert done.details.keys() <= done.before.keys() <= some

    def let_time_pass(self) -> None:
        self.now += timedelta(seconds=self.random.choice([5, 40, 90]))
        self.files.expire_leases(self.now, LEASE_SECONDS)

    def die(self) -> None:
        self.files.free_dead_workers(self.now, "here", self.random.choice("ab"))

    def clean_up(self) -> None:
        self.jobs.expire(self.now, self.now - timedelta(seconds=100), limit=2)


@pytest.mark.parametrize("seed", range(6))
def test_counters_equal_a_recount_after_any_sequence(database: Database, seed: int) -> None:
    life = Life(database, seed)
    history: list[str] = []
    jobs_before, files_before = states(database)
    for _ in range(STEPS):
        history.append(life.step())
        told = f"seed {seed}: {' '.join(history)}"
        assert counted(database) == recounted(database), told
        assert contradictions(database) == [], told
        jobs_after, files_after = states(database)
        for job_id in jobs_before.keys() & jobs_after.keys():
            before, after = jobs_before[job_id], jobs_after[job_id]
            assert after is before or after in TRANSITIONS[before], told
        for file_id in files_before.keys() & files_after.keys():
            before, after = files_before[file_id], files_after[file_id]
            assert after is before or after in FILE_TRANSITIONS[before], told
        jobs_before, files_before = jobs_after, files_after
