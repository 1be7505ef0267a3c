"""How the queue's steps grow with the jobs in its table, how long its cleanup locks it, how many files it can handle.

    python -m bench.queue_scale [--sizes 1000 100000 1000000] [--rounds 300] [--old 100000] [--files 5000]

No model looks at anything here. Rounds go through all sizes in turn, so that whatever else the machine does hits each
alike. With the default sizes it takes some ten minutes, half of it to make the tables (2 GB). Ends with 1 when a goal
is missed.
"""

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TypeVar

from bench.cleanup_lock import clean_up
from bench.filled_queue import fill
from bench.latency import percentile
from bench.no_op import through_queue, through_worker
from job import JobStatus, Lease, utc_now
from queue_manager import QueueManager
from settings import Settings
from submission import Submission
from tests.queues import PICTURE, outcome, worker_state
from web import queue_routes
from web.filters import ListQuery

T = TypeVar("T")

MOST_PENDING = 10_000
MOST_GROWTH = 1.5
LONGEST_LOCK_MS = 50.0
LEAST_FILES_PER_SECOND = 1000.0
BATCH = 32
# Of a large machine: a small one has no use for so many files a second.
SLOTS = 32
# Two children, as the default plan has on two cores.
LEASES = 2


@dataclass
class Subject:
    """One queue; `took` holds milliseconds by the name of the step."""

    queue: QueueManager
    chance: random.Random
    waiting: list[str]
    ended: list[str]
    settings: Settings = field(default_factory=Settings)
    took: dict[str, list[float]] = field(default_factory=dict)

    def time(self, name: str, step: Callable[..., T], *arguments: object) -> T:
        begin = time.perf_counter()
        result = step(*arguments)
        self.took.setdefault(name, []).append((time.perf_counter() - begin) * 1000)
        return result


def subject(folder: Path, jobs: int) -> Subject:
    folder.mkdir(parents=True)
    queue = fill(folder, jobs, pending=min(MOST_PENDING, jobs // 10))
    waiting = [str(job["id"]) for job in queue.get_pending_jobs(MOST_PENDING)]
    ended = [job.id for job in queue.list_jobs(JobStatus.COMPLETED, 1000).jobs]
    queue.take_over(worker_state("worker", utc_now()))
    return Subject(queue, random.Random(jobs), waiting, ended)


def measure_steps(one: Subject) -> None:
    """Every step once; as many jobs end as begin, so that the table keeps its proportions."""
    queue = one.queue
    one.waiting.append(one.time("submit", submit, queue))
    submission = stored(queue)
    one.waiting.append(one.time("submit, database only", submit_stored, queue, submission))
    leases: list[Lease] = one.time("claim of 2", queue.claim, "worker", LEASES)
    one.time("heartbeat", queue.heartbeat, worker_state("worker", utc_now()), leases)
    first, second = [(lease, outcome(lease)) for lease in leases]
    one.time("complete", queue.complete_many, [first])
    queue.complete_many([second])
    one.time("status of the last", queue_routes.status, queue, one.waiting[-1])
    one.time("status in the queue", queue_routes.status, queue, one.chance.choice(one.waiting[LEASES:]))
    one.time("status of an ended job", queue_routes.status, queue, one.chance.choice(one.ended))
    for state in (None, *JobStatus):
        one.time(f"list {state or 'all'}", queue_routes.jobs, queue, ListQuery(status=state))
    one.time("stats", queue_routes.stats, queue, one.settings)
    del one.waiting[:LEASES]


def submit(queue: QueueManager) -> str:
    return queue.create_job([("photo.png", PICTURE)], model="u2netp")


def stored(queue: QueueManager) -> Submission:
    """A submit whose picture is safely in storage."""
    submission = queue.begin_submission()
    submission.take([("photo.png", PICTURE)])
    return submission


def submit_stored(queue: QueueManager, submission: Submission) -> str:
    return queue.submit(submission, model="u2netp").job.id


def report_growth(sizes: Sequence[int], subjects: Sequence[Subject]) -> list[str]:
    """Print median and p99 of every step at every size; tell which medians grew too much."""
    missed = []
    print("milliseconds: median (p99)" + "".join(f"{size:>18,}" for size in sizes) + "   growth")
    for name in subjects[0].took:
        middles = [median(one.took[name]) for one in subjects]
        growth = middles[-1] / middles[0]
        cells = [
            f"{middle:9.2f} ({percentile(one.took[name], 0.99):6.1f})"
            for middle, one in zip(middles, subjects, strict=True)
        ]
        print(f"{name:26}{''.join(cells)}   {growth:.2f}")
        if growth > MOST_GROWTH:
            missed.append(f"{name} grew {growth:.2f} times and not {MOST_GROWTH} at most")
    return missed


def report_cleanup(queue: QueueManager, old: int) -> list[str]:
    lock = clean_up(queue, old)
    held, waited = lock.held_ms, lock.waited_ms
    print(
        f"cleanup of {lock.jobs:,} jobs in {lock.seconds:.0f} s, {len(held):,} write transactions: held the lock for "
        f"{median(held):.1f} ms, p99 {percentile(held, 0.99):.1f}, at most {max(held):.1f}"
    )
    print(
        f"another process that wanted to write meanwhile, {len(waited):,} times: waited {median(waited):.1f} ms, "
        f"p99 {percentile(waited, 0.99):.1f}, at most {max(waited):.1f}"
    )
    # What a commit does after it has freed the lock, such as a checkpoint, is in `held` too, but keeps nobody waiting.
    if max(waited) > LONGEST_LOCK_MS:
        return [f"cleanup made another process wait {max(waited):.0f} ms and not {LONGEST_LOCK_MS:.0f} at most"]
    return []


def report_no_ops(folder: Path, files: int) -> list[str]:
    missed = []
    for synchronous in ("NORMAL", "FULL"):
        rates = {
            "one by one": through_queue(folder / f"single-{synchronous}", files, 1, synchronous),
            f"{BATCH} at once": through_queue(folder / f"batch-{synchronous}", files, BATCH, synchronous),
            "through a JobWorker": through_worker(folder / f"worker-{synchronous}", files, synchronous, SLOTS),
        }
        told = ", ".join(f"{name} {rate:,.0f}" for name, rate in rates.items())
        print(f"claimed and completed without work, files a second, synchronous={synchronous}: {told}")
        if synchronous == "NORMAL" and (rate := rates["through a JobWorker"]) < LEAST_FILES_PER_SECOND:
            missed.append(f"{rate:.0f} files a second through a JobWorker and not {LEAST_FILES_PER_SECOND:.0f}")
    return missed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 100_000, 1_000_000], help="jobs in the table")
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--old", type=int, default=100_000, help="jobs to clean up in the largest table")
    parser.add_argument("--files", type=int, default=5000, help="files to claim and complete without work")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subjects = [subject(folder / f"{size}", size) for size in options.sizes]
        for _ in range(options.rounds):
            for one in subjects:
                measure_steps(one)
        print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; synchronous=NORMAL")
        missed = report_growth(options.sizes, subjects)
        missed += report_cleanup(subjects[-1].queue, options.old)
        missed += report_no_ops(folder, options.files)
        for one in subjects:
            one.queue.database.close()
    for what in missed:
        print(f"MISSED {what}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
