"""Seconds without results when, of four gunicorn processes, the one that holds the worker is killed.

    python -m bench.takeover --kills 5

From each kill until the next file is completed, by another process with children of its own.
"""

import argparse
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from job import timestamp
from tests.faults.children import results_of, rows
from tests.service import POLL_SECONDS, SAMPLES, Service, running

GUNICORN = [
    *(sys.executable, "-m", "gunicorn", "app:app", "--workers", "4"),
    *("--worker-class", "uvicorn.workers.UvicornWorker", "--bind", "127.0.0.1:{port}"),
]
PICTURE = (SAMPLES[0].name, SAMPLES[0].read_bytes())
# More than are worked on until the next kill.
JOB_FILES = 15


def takeovers(service: Service, kills: int) -> Iterator[float]:
    """Seconds from each kill to the next completed file. Every file must end completed, at its first attempt."""
    for _ in range(kills):
        job_id = service.submit([PICTURE] * JOB_FILES)
        wait_for_completed(service, "")
        os.kill(worker_pid(service), signal.SIGKILL)
        killed = datetime.now(UTC)
        first = wait_for_completed(service, timestamp(killed))
        yield (datetime.fromisoformat(first) - killed).total_seconds()
        entries = results_of(service.wait_for(job_id))
        if {(entry["status"], entry["attempts"]) for entry in entries} != {("completed", 1)}:
            sys.exit(f"Not every file ended completed at its first attempt: {entries}")


def worker_pid(service: Service) -> int:
    """Of the process that reported last that it is the worker."""
    ((pid,),) = rows(service, "SELECT pid FROM workers ORDER BY heartbeat_at DESC LIMIT 1")
    assert isinstance(pid, int)
    return pid


def wait_for_completed(service: Service, after: str) -> str:
    """When the first file after a moment was completed, both as timestamps."""
    while True:
        query = f"SELECT min(completed_at) FROM job_files WHERE status = 'completed' AND completed_at > '{after}'"
        ((moment,),) = rows(service, query)
        if isinstance(moment, str):
            return moment
        time.sleep(POLL_SECONDS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), GUNICORN) as service:
        service.wait_until("/ready")
        seconds = list(takeovers(service, options.kills))
    each = ", ".join(f"{value:.1f}" for value in seconds)
    print(f"seconds from the kill to the next result: {each}; median {statistics.median(seconds):.1f}")


if __name__ == "__main__":
    main()
