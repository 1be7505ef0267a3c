"""The service under full load for a long time: does memory, the write-ahead log or the number of open files grow?

    python -m bench.soak --minutes 20

Clients keep the queue full, follow their jobs and fetch results. What is read every few seconds is told as medians of
each quarter of the time, after a warm-up.
"""

import argparse
import contextlib
import itertools
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import requests

from bench.throughput import photos
from bench.upload_memory import memory_mib
from tests.service import Service, alive, children_of, running

CLIENTS = 2
JOB_FILES = 10
PATIENCE_SECONDS = 300.0
WARM_UP_SECONDS = 30.0
SAMPLE_SECONDS = 5.0
RETENTION_DAYS = "0.001"  # 86 seconds: the sweep deletes all the time
SWEEP_SECONDS = "15"


@dataclass(frozen=True)
class Sample:
    """Sizes in MiB; `children_mib` is the largest child."""

    service_mib: float
    children_mib: float
    fork_server_mib: float
    wal_mib: float
    database_mib: float
    open_files: int
    threads: int
    processes: int
    data_files: int


def sample(service: Service) -> Sample:
    main = service.process.pid
    children = children_of(service)
    others = [pid for pid in service.processes() if pid not in (main, *children) and alive(pid)]
    data = service.data_dir
    return Sample(
        service_mib=memory_mib(main, "VmRSS"),
        children_mib=largest(children),
        fork_server_mib=largest(others),
        wal_mib=size_mib(data / "queue.db-wal"),
        database_mib=size_mib(data / "queue.db"),
        open_files=len(os.listdir(f"/proc/{main}/fd")),
        threads=len(os.listdir(f"/proc/{main}/task")),
        processes=len(service.processes()),
        data_files=sum(len(names) for _, _, names in os.walk(data / "data")),
    )


def largest(pids: Sequence[int]) -> float:
    sizes = [0.0]
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, SystemExit):  # ended meanwhile
            sizes.append(memory_mib(pid, "VmRSS"))
    return max(sizes)


def size_mib(path: Path) -> float:
    return path.stat().st_size / 2**20 if path.exists() else 0.0


def keep_busy(service: Service, client: int, end: float, done: list[int], faults: list[str]) -> None:
    """Submit one job after the other, always another waiting behind it, and fetch every result."""
    ahead: list[str] = []
    for number in itertools.count():
        if time.monotonic() > end and not ahead:
            return
        while len(ahead) < 2 and time.monotonic() < end:
            pictures = photos(JOB_FILES, (CLIENTS * number + client) % 256)
            ahead.append(service.submit([(f"{n}.jpg", picture) for n, picture in enumerate(pictures)]))
        job = service.wait_for(ahead.pop(0), PATIENCE_SECONDS)
        archive = requests.get(f"{service.url}/queue/job/{job['id']}/result", timeout=60)
        if job["status"] != "completed" or archive.status_code != 200:
            faults.append(f"job {job['id']}: {job['status']}, result {archive.status_code}")
        done.append(JOB_FILES)


def soak(service: Service, minutes: float) -> tuple[list[Sample], int, list[str]]:
    end = time.monotonic() + 60 * minutes
    done: list[int] = []
    faults: list[str] = []
    clients = [
        threading.Thread(target=keep_busy, args=(service, client, end, done, faults)) for client in range(CLIENTS)
    ]
    for client in clients:
        client.start()
    time.sleep(min(WARM_UP_SECONDS, 6 * minutes))
    samples = []
    while time.monotonic() < end:
        samples.append(sample(service))
        time.sleep(SAMPLE_SECONDS)
    for client in clients:
        client.join()
    return samples, sum(done), faults


def report(samples: Sequence[Sample], files: int, minutes: float, faults: Sequence[str]) -> None:
    print(f"{files} files in {minutes:g} minutes; {len(samples)} samples")
    print(f"{'median of quarter':<18}{'first':>10}{'second':>10}{'third':>10}{'last':>10}{'most':>10}")
    cuts = [len(samples) * quarter // 4 for quarter in range(5)]
    for name in Sample.__dataclass_fields__:
        values = [float(getattr(taken, name)) for taken in samples]
        quarters = [statistics.median(values[start:end]) for start, end in itertools.pairwise(cuts)]
        print(f"{name:<18}" + "".join(f"{value:>10.1f}" for value in [*quarters, max(values)]))
    for fault in faults:
        print(f"FAULT {fault}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20.0)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        running(Path(folder), retention_days=RETENTION_DAYS, sweep_seconds=SWEEP_SECONDS) as service,
    ):
        service.wait_until("/ready")
        samples, files, faults = soak(service, options.minutes)
    report(samples, files, options.minutes, faults)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
