"""A service is frozen (SIGSTOP) beyond its lease while a child of its finishes a picture, and wakes up too late.

    python -m bench.frozen_service

Another worker has published the file meanwhile: the late result must be refused, told in the log, and its bytes
deleted. Ends with 1 if not.
"""

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import requests

from app import open_queue
from queue_manager import QueueManager
from settings import Settings
from tests.faults.children import freeze, hold, in_hand, results_of, signal_all
from tests.queues import CUTOUT, finish, stored
from tests.service import POLL_SECONDS, SAMPLES, Service, running

# The least that the setting allows.
LEASE_SECONDS = 30.0
PICTURE = (SAMPLES[0].name, SAMPLES[0].read_bytes())


@dataclass(frozen=True)
class Figures:
    """How long the service stood still (seconds), and what is wrong."""

    frozen_seconds: float
    faults: Sequence[str]


def outlive(service: Service, lease_seconds: float) -> Figures:
    """Freeze the service with one picture in hand, and do its work as a worker on another machine would."""
    queue = open_queue(Settings(data_dir=service.data_dir).model_copy(update={"lease_seconds": lease_seconds}))
    try:
        job_id = service.submit([PICTURE])
        children = hold(service, 1)
        begin = time.monotonic()
        freeze(service)
        signal_all(children, signal.SIGCONT)
        (late,) = wait_for_results(queue, job_id)
        publish_instead(service, queue)
        service.process.send_signal(signal.SIGCONT)
        seconds = time.monotonic() - begin
        return Figures(seconds, wrong(service, queue, job_id, late))
    finally:
        queue.database.close()


def results(queue: QueueManager, job_id: str) -> list[str]:
    """Without unfinished ones and previews, whose names have an ending."""
    return [key for key in stored(queue.storage) if key.startswith(f"results/{job_id}/") and "." not in key]


def wait_for_results(queue: QueueManager, job_id: str) -> list[str]:
    """The child has stored its result; what it says of it reaches nobody yet."""
    while not (found := results(queue, job_id)):
        time.sleep(POLL_SECONDS)
    return found


def publish_instead(service: Service, queue: QueueManager) -> None:
    while in_hand(service):
        queue.expire_leases()
        time.sleep(POLL_SECONDS)
    (lease,) = queue.claim("another machine's worker", 1)
    finish(queue, lease, CUTOUT)


def wrong(service: Service, queue: QueueManager, job_id: str, late: str) -> list[str]:
    service.wait_for_log(f"job {job_id} file 0 ({PICTURE[0]}): the lease is lost, its result is dropped")
    (entry,) = results_of(service.wait_for(job_id))
    told = {
        "the late bytes are still there": not any(key.startswith(late) for key in stored(queue.storage)),
        "there is not one result": len(results(queue, job_id)) == 1,
        "another result is published": published(service, job_id) == CUTOUT,
        f"attempts: {entry['attempts']}": entry["attempts"] == 1,
        f"it is {entry['status']}": entry["status"] == "completed",
    }
    service.wait_until("/ready")
    return [fault for fault, fine in told.items() if not fine]


def published(service: Service, job_id: str) -> bytes:
    return requests.get(f"{service.url}/queue/job/{job_id}/result", timeout=10).content


def main() -> int:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    settings = {"max_concurrent": "1", "lease_seconds": f"{LEASE_SECONDS:g}"}
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), **settings) as service:
        service.wait_until("/ready")
        figures = outlive(service, LEASE_SECONDS)
    print(f"frozen for {figures.frozen_seconds:.0f} s with a lease of {LEASE_SECONDS:g} s")
    for fault in figures.faults:
        print(f"FAULT {fault}")
    return 1 if figures.faults else 0


if __name__ == "__main__":
    sys.exit(main())
