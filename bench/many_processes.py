"""Four processes on one SQLite file: claims and completions of files whose pictures nobody looks at.

    python -m bench.many_processes --files 2000

Each file must be completed exactly once, counters must equal a recount, and the database must be sound. Ends with 1 if
not.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import text

from app import open_queue
from database.engine import Database
from queue_manager import QueueManager
from settings import Settings
from tests.database.jobs import contradictions, counted, recounted
from tests.queues import PICTURE, stored
from tests.service import ROOT

PROCESSES = 4
JOB_FILES = 50


@dataclass(frozen=True)
class Figures:
    """How many files each process completed, in how many seconds, and what is wrong."""

    shares: tuple[int, ...]
    seconds: float
    faults: tuple[str, ...]


def race(data_dir: Path, files: int) -> Figures:
    queue = open_queue(Settings(data_dir=data_dir, disk_reserve_bytes=0))
    try:
        for begin in range(0, files, JOB_FILES):
            queue.create_job([(f"{number}.png", PICTURE) for number in range(begin, min(begin + JOB_FILES, files))])
        shares, seconds = work(data_dir)
        return Figures(tuple(len(share) for share in shares), seconds, tuple(faults(queue, files, shares)))
    finally:
        queue.database.close()


def work(data_dir: Path) -> tuple[list[list[int]], float]:
    """Ids of the files that each process completed, and the seconds from their common start."""
    command = [sys.executable, "-m", "tests.faults.complete_until_empty", str(data_dir)]
    workers = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(PROCESSES)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    begin = time.monotonic()
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    shares = [[int(word) for word in worker.communicate()[0].split()] for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * PROCESSES
    return shares, time.monotonic() - begin


def faults(queue: QueueManager, files: int, shares: list[list[int]]) -> list[str]:
    times = Counter(file for share in shares for file in share)
    found = [f"file {file} was completed {count} times" for file, count in times.items() if count > 1]
    ended = queue.get_job_stats()
    jobs = -(-files // JOB_FILES)
    if (ended["completed"], ended["total"]) != (jobs, jobs):
        found.append(f"jobs: {ended}")
    kept, true = counted(queue.database), recounted(queue.database)
    if kept != true or true.get("files.completed") != files:
        found.append(f"counters {kept}, recount {true}")
    # The names of previews have an ending.
    results = [key for key in stored(queue.storage) if key.startswith("results/") and "." not in key]
    if len(results) != files:
        found.append(f"{len(results)} results of {files} files")
    return found + contradictions(queue.database) + unsound(queue.database)


def unsound(database: Database) -> list[str]:
    """What SQLite finds wrong with the file itself."""
    with database.read() as connection:
        told = connection.execute(text("PRAGMA integrity_check")).scalars().all()
    return [] if told == ["ok"] else [f"integrity: {line}" for line in told]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=2000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = race(Path(folder), options.files)
    rate = options.files / figures.seconds
    print(f"{options.files} files in {figures.seconds:.1f} s, {rate:.0f}/s; by each process: {figures.shares}")
    for fault in figures.faults:
        print(f"FAULT {fault}")
    return 1 if figures.faults else 0


if __name__ == "__main__":
    sys.exit(main())
