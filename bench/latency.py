"""How quickly the API answers while every core removes backgrounds and 10,000 different files wait.

    python -m bench.latency [--seconds 60] [--rate 50] [--pending 10000]

A real service with default settings but for its model; this process asks it at a steady rate, whatever the answers
take, and looks at /health, which waits for nothing but the event loop, fifty times a second besides.
"""

import argparse
import contextlib
import http.client
import io
import json
import os
import random
import struct
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import requests
from PIL import Image

from app import open_queue
from settings import Settings
from tests.service import SAMPLES, Service, running

# Of a hundred requests; and what each may take, in milliseconds, for 99 of 100.
MIX = {"status": 60, "submit": 15, "list": 15, "stats": 10}
PATHS = {"list": "/queue/jobs", "stats": "/queue/stats", "health": "/health"}
GOALS = {"status": 20.0, "submit": 60.0, "list": 40.0, "stats": 10.0}
LONGEST_BLOCK_MS = 50.0
HEALTH_SECONDS = 0.02
CONNECTIONS = 24
UPLOAD_BYTES = 300_000
WAITING_SIZE = (480, 360)
WAITING_JOB_FILES = 100
WARM_UP_SECONDS = 5.0
FILLING_THREADS = 8


def photo(size: tuple[int, int] | None = None, quality: int = 85) -> bytes:
    with Image.open(SAMPLES[0]) as sample:
        image = sample.convert("RGB") if size is None else sample.convert("RGB").resize(size)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def upload_photo() -> bytes:
    """The sample, so large that it weighs UPLOAD_BYTES."""
    size = (1280, 960)
    quality = next(quality for quality in range(60, 101) if len(photo(size, quality)) >= UPLOAD_BYTES or quality == 100)
    return photo(size, quality)


def unique(jpeg: bytes) -> bytes:
    """The same picture with a comment of its own, so that nothing that was done before can be reused."""
    comment = uuid.uuid4().bytes
    return jpeg[:2] + b"\xff\xfe" + struct.pack(">H", len(comment) + 2) + comment + jpeg[2:]


def fill(folder: Path, files: int) -> list[str]:
    """Queue so many different pictures, before the service starts; ids of their jobs."""
    waiting = open_queue(Settings(data_dir=folder))
    picture = photo(WAITING_SIZE)

    def submit(count: int) -> str:
        return waiting.create_job([(f"photo-{n}.jpg", unique(picture)) for n in range(count)], model="u2netp")

    counts = [min(WAITING_JOB_FILES, files - start) for start in range(0, files, WAITING_JOB_FILES)]
    with ThreadPoolExecutor(FILLING_THREADS) as threads:
        ids = list(threads.map(submit, counts))
    waiting.database.close()
    return ids


@dataclass
class Answers:
    """Milliseconds of every answer by kind, and what was no success. `late`: how much too late requests were sent."""

    took: dict[str, list[float]] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    late: list[float] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)


class Client:
    """Keep-alive connections to the service, one for each thread."""

    def __init__(self, url: str, answers: Answers) -> None:
        self._netloc = urlsplit(url).netloc
        self._answers = answers
        self._local = threading.local()
        self._connections: list[http.client.HTTPConnection] = []
        self._photo = upload_photo()

    def ask(self, kind: str, due: float) -> None:
        method, path, body, headers = self._request(kind)
        if not hasattr(self._local, "connection"):
            self._local.connection = http.client.HTTPConnection(self._netloc, timeout=60)
            self._connections.append(self._local.connection)
        begin = time.perf_counter()
        self._local.connection.request(method, path, body, headers)
        answer = self._local.connection.getresponse()
        content = answer.read()
        end = time.perf_counter()
        self._answers.took.setdefault(kind, []).append((end - begin) * 1000)
        self._answers.late.append((begin - due) * 1000)
        if answer.status not in (200, 202):
            self._answers.refused[f"{kind} {answer.status}"] += 1
        elif kind == "submit":
            self._answers.jobs.append(json.loads(content)["job_id"])

    def close(self) -> None:
        for connection in self._connections:
            connection.close()

    def _request(self, kind: str) -> tuple[str, str, bytes | None, Mapping[str, str]]:
        if kind == "submit":
            boundary = uuid.uuid4().hex
            head = f'--{boundary}\r\nContent-Disposition: form-data; name="images"; filename="photo.jpg"\r\n\r\n'
            body = head.encode() + unique(self._photo) + f"\r\n--{boundary}--\r\n".encode()
            return "POST", "/queue/submit", body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        if kind == "status":
            return "GET", f"/queue/job/{random.choice(self._answers.jobs)}", None, {}
        return "GET", PATHS[kind], None, {}


def press(url: str, jobs: Sequence[str], rate: float, seconds: float, chance: random.Random) -> Answers:
    """Ask at a steady rate, each request at its time, whether or not earlier ones have been answered."""
    answers = Answers(jobs=list(jobs))
    client = Client(url, answers)
    kinds = chance.choices(list(MIX), list(MIX.values()), k=int(rate * seconds))
    plan = [(number / rate, kind) for number, kind in enumerate(kinds)]
    plan += [(number * HEALTH_SECONDS, "health") for number in range(int(seconds / HEALTH_SECONDS))]
    begin = time.perf_counter()
    with contextlib.closing(client), ThreadPoolExecutor(CONNECTIONS) as threads:
        asked = []
        for offset, kind in sorted(plan):
            time.sleep(max(0.0, begin + offset - time.perf_counter()))
            asked.append(threads.submit(client.ask, kind, begin + offset))
        for one in asked:
            one.result()
    return answers


def percentile(values: Sequence[float], part: float) -> float:
    """Nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def report(answers: Answers) -> list[str]:
    """Print every kind; tell which goals were missed."""
    missed = [f"{count} answers were {what}" for what, count in answers.refused.items()]
    print("milliseconds        n     p50     p95     p99     max    goal (p99)")
    for kind, took in sorted(answers.took.items()):
        p50, p95, p99 = (percentile(took, part) for part in (0.5, 0.95, 0.99))
        goal = GOALS.get(kind)
        print(
            f"{kind:12} {len(took):8} {p50:7.1f} {p95:7.1f} {p99:7.1f} {max(took):7.1f}"
            + (f"    {goal:.0f}" if goal else "")
        )
        if goal is not None and p99 > goal:
            missed.append(f"{kind}: p99 is {p99:.1f} ms and not {goal:.0f}")
    blocked = [took for took in answers.took.get("health", ()) if took > LONGEST_BLOCK_MS]
    if blocked:
        missed.append(f"/health took more than {LONGEST_BLOCK_MS:.0f} ms {len(blocked)} times")
    # What this process, which does little, had to wait for a core: the service cannot do better.
    print(f"sent too late, by this process: p99 {percentile(answers.late, 0.99):.1f} ms, max {max(answers.late):.1f}")
    return missed


def files_done(service: Service) -> int:
    done: int = requests.get(f"{service.url}/queue/stats", timeout=30).json()["stats"]["completed"]
    return done


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=50.0, help="requests a second")
    parser.add_argument("--pending", type=int, default=10_000, help="different files that wait")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        begin = time.monotonic()
        jobs = fill(Path(folder), options.pending)
        print(f"{options.pending} files queued in {time.monotonic() - begin:.0f} s", flush=True)
        with running(Path(folder), log_level="WARNING") as service:
            service.wait_until("/ready")
            time.sleep(WARM_UP_SECONDS)
            answers = press(service.url, jobs, options.rate, options.seconds, random.Random(options.seed))
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    missed = report(answers)
    for what in missed:
        print(f"MISSED {what}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
