"""The service is killed again and again, at random moments, while clients submit pictures and it works on them.

    python -m bench.kills --kills 100 --files 1000 [--photos FOLDER]

Half of the kills hit the main process alone, whose children must then follow; half hit the whole family at once. No
accepted file may be lost, end twice or stay open; no bytes may be left over. Ends with 1 if any of that happens.
"""

import argparse
import hashlib
import io
import os
import random
import signal
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import requests
from PIL import Image

from app import open_queue
from bench.throughput import SAMPLES
from job import preview_keys, utc_now
from settings import Settings
from tests.database.jobs import contradictions, counted, recounted
from tests.service import POLL_SECONDS, Service, alive, running, wait_until_dead

CLIENTS = 3
MOST_FILES_IN_A_JOB = 10
# From before the service listens (its start takes some two seconds) until it has long been busy.
LIFE_SECONDS = (0.2, 8.0)
CHILDREN_FOLLOW_SECONDS = 5.0
PATIENCE_SECONDS = 900.0
# Written by the same transaction as the change itself, so that not even a kill hides an ending.
AUDIT = """
CREATE TABLE IF NOT EXISTS endings (file INTEGER, before TEXT, after TEXT);
CREATE TRIGGER IF NOT EXISTS note_ending AFTER UPDATE OF status ON job_files
WHEN NEW.status IN ('completed', 'failed', 'cancelled') OR OLD.status IN ('completed', 'failed', 'cancelled')
BEGIN INSERT INTO endings VALUES (NEW.id, OLD.status, NEW.status); END
"""


@dataclass(frozen=True)
class Photo:
    """A picture as it is sent: its size in pixels is its own, so that no result passes for that of another."""

    name: str
    data: bytes
    size: tuple[int, int]


def photos(count: int, folder: Path, chance: random.Random) -> list[Photo]:
    """Small JPEGs cut from random places of the photos in a folder."""
    sources = [Image.open(path).convert("RGB") for path in sorted(folder.glob("*.jpg"))]
    if not sources:
        sys.exit(f"There is no photo (*.jpg) in {folder}.")
    made = []
    for number in range(count):
        source = sources[number % len(sources)]
        width, height = 100 + number % 97, 100 + number % 89
        left, top = chance.randrange(source.width - width // 2), chance.randrange(source.height - height // 2)
        stream = io.BytesIO()
        source.crop((left, top, left + width, top + height)).save(stream, "JPEG", quality=90)
        made.append(Photo(f"{number}.jpg", stream.getvalue(), (width, height)))
    return made


@dataclass
class Load:
    """What clients have sent and the service has accepted: photos by the id of their job."""

    url: str = ""
    accepted: dict[str, Sequence[Photo]] = field(default_factory=dict)
    sent_again: int = 0
    refused: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def send(self, batches: Sequence[Sequence[Photo]], pause_seconds: float, chance: random.Random) -> None:
        """One client: each batch is sent under one key until the service has answered 202."""
        for batch in batches:
            key = f"{chance.getrandbits(64):x}"
            while not self.over.is_set() and (job_id := self._accepted(batch, key)) is None:
                self.sent_again += 1
                time.sleep(POLL_SECONDS)
            if self.over.is_set():
                return
            self.accepted[str(job_id)] = batch
            self.over.wait(chance.uniform(0, 2 * pause_seconds))

    def _accepted(self, batch: Sequence[Photo], key: str) -> str | None:
        """None when the service is dead, or still holds the key for a request that died with it (409)."""
        try:
            answer = requests.post(
                f"{self.url}/queue/submit?model=u2netp",
                files=[("images", (photo.name, photo.data)) for photo in batch],
                headers={"Idempotency-Key": key},
                timeout=30,
            )
        except requests.RequestException:
            return None
        if answer.status_code == 409:
            return None
        if answer.status_code != 202:
            self.refused.append(answer.text)
            return None
        job_id: str = answer.json()["job_id"]
        return job_id


@dataclass
class Figures:
    kills: int = 0
    slowest_follow_seconds: float = 0.0
    completed: int = 0
    sent_again: int = 0
    lost_leases: int = 0
    orphans: int = 0
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)


def kill_while_loaded(data_dir: Path, kills: int, pictures: Sequence[Photo], chance: random.Random) -> Figures:
    """The whole story: load, kills and restarts, then peace until every file has ended, then the audit."""
    figures, load, begin = Figures(), Load(), time.monotonic()
    with running(data_dir) as service:
        service.wait_until("/ready")
    with sqlite3.connect(data_dir / "queue.db") as database:
        database.executescript(AUDIT)
    clients = start_clients(load, pictures, kills * sum(LIFE_SECONDS) / 2, chance)
    for number in range(kills):
        with running(data_dir) as service:
            load.url = service.url
            time.sleep(chance.uniform(*LIFE_SECONDS))
            kill(service, number % 2 == 0, figures)
        service.log_path.unlink()
    with running(data_dir) as service:
        load.url = service.url
        service.wait_until("/ready")
        for client in clients:
            client.join(PATIENCE_SECONDS)
        wait_for_all(service, load, figures)
        check_results(service, load, figures)
    load.over.set()
    figures.sent_again = load.sent_again
    figures.faults += [f"refused: {answer}" for answer in load.refused]
    audit(data_dir, load, pictures, figures)
    figures.seconds = time.monotonic() - begin
    return figures


def start_clients(
    load: Load, pictures: Sequence[Photo], seconds: float, chance: random.Random
) -> list[threading.Thread]:
    """Clients that spread their jobs over so many seconds."""
    batches = []
    left = list(pictures)
    while left:
        size = chance.randint(1, MOST_FILES_IN_A_JOB)
        batches.append(left[:size])
        left = left[size:]
    pause_seconds = seconds * CLIENTS / len(batches)
    clients = [
        threading.Thread(
            target=load.send,
            args=(batches[number::CLIENTS], pause_seconds, random.Random(chance.random())),
            daemon=True,
        )
        for number in range(CLIENTS)
    ]
    for client in clients:
        client.start()
    return clients


def kill(service: Service, main_alone: bool, figures: Figures) -> None:
    """SIGKILL to the main process or to all; no process may be left after some seconds."""
    family = service.processes()
    if service.process.poll() is not None:
        figures.faults.append(f"the service ended by itself:\n{service.log}")
    begin = time.monotonic()
    for pid in family[:1] if main_alone else family:
        if alive(pid):
            os.kill(pid, signal.SIGKILL)
    service.process.wait()
    left = wait_until_dead(family, CHILDREN_FOLLOW_SECONDS)
    figures.faults += [f"process {pid} outlived its service" for pid in left]
    figures.slowest_follow_seconds = max(figures.slowest_follow_seconds, time.monotonic() - begin)
    figures.kills += 1


def wait_for_all(service: Service, load: Load, figures: Figures) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    for job_id in load.accepted:
        while service.job(job_id)["completed_at"] is None:
            if time.monotonic() > deadline:
                figures.faults.append(f"job {job_id} is stuck: {service.job(job_id)}")
                break
            time.sleep(POLL_SECONDS)


def check_results(service: Service, load: Load, figures: Figures) -> None:
    """Every accepted picture has a cutout of its own size, whose bytes are those that the job names."""
    for job_id, batch in load.accepted.items():
        entries = service.job(job_id)["results"]
        assert isinstance(entries, list)
        if [entry["filename"] for entry in entries] != [photo.name for photo in batch]:
            figures.faults.append(f"job {job_id} has other files than were sent")
            continue
        for entry, photo in zip(entries, batch, strict=True):
            if entry["url"] is None:
                figures.faults.append(f"{photo.name} of job {job_id} failed: {entry['error']}")
                continue
            data = requests.get(f"{service.url}/queue/job/{job_id}/result/{entry['index']}", timeout=30).content
            with Image.open(io.BytesIO(data)) as cutout:
                right = cutout.size == photo.size and cutout.mode == "RGBA"
            if not right or hashlib.sha256(data).hexdigest() != entry["sha256"]:
                figures.faults.append(f"{photo.name} of job {job_id} has not the result it should have")
            figures.completed += 1


def audit(data_dir: Path, load: Load, pictures: Sequence[Photo], figures: Figures) -> None:
    """The database and the storage of a service that is not running."""
    sent = sum(len(batch) for batch in load.accepted.values())
    if sent != len(pictures):
        figures.faults.append(f"only {sent} of {len(pictures)} files were ever accepted")
    with sqlite3.connect(data_dir / "queue.db") as database:
        verdict = [row[0] for row in database.execute("PRAGMA integrity_check")]
        jobs = {row[0] for row in database.execute("SELECT id FROM jobs")}
        endings = database.execute("SELECT file, group_concat(before || ' to ' || after) FROM endings GROUP BY file")
        odd = [f"file {file} went {path}" for file, path in endings if path != "processing to completed"]
        files = database.execute("SELECT count(*) FROM job_files").fetchone()[0]
        ended = database.execute("SELECT count(DISTINCT file) FROM endings").fetchone()[0]
        figures.lost_leases = database.execute("SELECT sum(lost_leases) FROM job_files").fetchone()[0]
        stored = list(database.execute("SELECT input_key, output_key FROM job_files"))
        keys = {key for row in stored for key in row} | {key for _, output in stored for key in preview_keys(output)}
    if verdict != ["ok"]:
        figures.faults.append(f"integrity check: {verdict}")
    if jobs != set(load.accepted):
        figures.faults.append(f"{len(jobs)} jobs are in the database, {len(load.accepted)} were accepted")
    if files != len(pictures) or ended != len(pictures):
        figures.faults.append(f"{files} files, {ended} of them ended, of {len(pictures)} sent")
    figures.faults += odd
    queue = open_queue(Settings(data_dir=data_dir))
    try:
        figures.orphans = queue.sweep_orphans(timedelta(0))
        left = {key for key in queue.storage.keys(utc_now() + timedelta(days=1)) if key.count("/") == 2}
        figures.faults += [f"bytes without a row: {key}" for key in left - keys]
        figures.faults += [f"row without bytes: {key}" for key in keys - left]
        figures.faults += contradictions(queue.database)
        if counted(queue.database) != recounted(queue.database):
            figures.faults.append(f"counters {counted(queue.database)}, rows {recounted(queue.database)}")
    finally:
        queue.database.close()


def report(figures: Figures) -> None:
    print(
        f"{figures.kills} kills in {figures.seconds:.0f} s; "
        f"the last process ended at most {figures.slowest_follow_seconds:.2f} s after its service"
    )
    print(
        f"{figures.completed} files completed; submits that had no answer and were repeated {figures.sent_again}, "
        f"leases lost to kills {figures.lost_leases}, orphan blobs swept {figures.orphans}"
    )
    for fault in figures.faults:
        print(f"FAULT {fault}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--photos", type=Path, default=SAMPLES, help="folder of JPEGs to cut pictures from")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        pictures = photos(options.files, options.photos, chance)
        figures = kill_while_loaded(Path(folder), options.kills, pictures, chance)
    report(figures)
    return 1 if figures.faults else 0


if __name__ == "__main__":
    sys.exit(main())
