"""Whether many open streams of events cost others anything: /health while jobs end that every stream is told of.

    python -m bench.event_streams [--streams 200] [--rate 50] [--seconds 20]

The jobs are written by this process, as another server process would do it, so that the service has nothing else to
do than to tell of them. Ends with 1 when a stream was not told of a job's end.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import requests

from app import open_queue
from bench.latency import percentile
from database.file_store import FileStore
from job import utc_now
from queue_manager import QueueManager
from settings import Settings
from tests.database.jobs import OUTCOME
from tests.queues import PICTURE
from tests.service import running

HEALTH_SECONDS = 0.02
# For what is under way when the last job has ended.
PATIENCE_SECONDS = 10.0
REQUEST = b"GET /queue/events HTTP/1.1\r\nHost: bench\r\n\r\n"


@dataclass
class Heard:
    """How many ends each stream was told of; and how long after each end one of them heard of it (milliseconds)."""

    ends: list[int] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)

    async def listen(self, port: int, number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**22)
        try:
            writer.write(REQUEST)
            while line := await reader.readline():
                if b'"status":"completed"' in line:
                    self.ends[number] += 1
                    if number == 0:
                        self.delays.append(milliseconds_since_end(line))
        finally:
            writer.close()
            await writer.wait_closed()


def milliseconds_since_end(line: bytes) -> float:
    ended = datetime.fromisoformat(json.loads(line.removeprefix(b"data: "))["completed_at"])
    return (utc_now() - ended).total_seconds() * 1000


def end_jobs(queue: QueueManager, jobs: int, rate: float) -> None:
    """Make jobs and complete them at a steady rate."""
    files = FileStore(queue.database)
    begin = time.monotonic()
    for number in range(jobs):
        time.sleep(max(0.0, begin + number / rate - time.monotonic()))
        queue.create_job([("photo.png", PICTURE)], model="u2netp")
        (file,) = files.claim(utc_now(), 1, "bench", "t", 60.0)
        files.complete(utc_now(), file.id, "t", OUTCOME)


def ask(url: str, over: threading.Event, took: list[float]) -> None:
    """How long /health takes, in milliseconds."""
    with requests.Session() as session:
        session.trust_env = False
        while not over.wait(HEALTH_SECONDS):
            begin = time.perf_counter()
            session.get(f"{url}/health", timeout=30).raise_for_status()
            took.append((time.perf_counter() - begin) * 1000)


async def measure(url: str, queue: QueueManager, streams: int, jobs: int, rate: float) -> tuple[Heard, list[float]]:
    heard, over = Heard(ends=[0] * streams), threading.Event()
    took: list[float] = []
    port = urlsplit(url).port or 0
    listening = [asyncio.create_task(heard.listen(port, number)) for number in range(streams)]
    await asyncio.sleep(1)
    asking = asyncio.create_task(asyncio.to_thread(ask, url, over, took))
    await asyncio.to_thread(end_jobs, queue, jobs, rate)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while min(heard.ends, default=jobs) < jobs and time.monotonic() < deadline:  # noqa: ASYNC110 - an outside view
        await asyncio.sleep(HEALTH_SECONDS)
    over.set()
    await asking
    for task in listening:
        task.cancel()
    await asyncio.gather(*listening, return_exceptions=True)
    return heard, took


def told(values: Sequence[float]) -> str:
    return f"p50 {percentile(values, 0.5):.1f}, p99 {percentile(values, 0.99):.1f}, at most {max(values):.1f} ms"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--rate", type=float, default=50.0, help="jobs that end in a second")
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    jobs = round(options.rate * options.seconds)
    with tempfile.TemporaryDirectory() as name, running(Path(name)) as service:
        service.wait_until("/ready")
        requests.post(f"{service.url}/queue/pause", timeout=10).raise_for_status()
        queue = open_queue(Settings(data_dir=Path(name)))
        for streams in (0, options.streams):
            heard, took = asyncio.run(measure(service.url, queue, streams, jobs, options.rate))
            print(f"{streams} streams, {jobs} jobs at {options.rate:g} a second: /health {told(took)}")
            if heard.delays:
                print(f"told after {told(heard.delays)}; ends told to the slowest stream: {min(heard.ends)}")
        queue.database.close()
    return 0 if min(heard.ends) == jobs else 1


if __name__ == "__main__":
    sys.exit(main())
