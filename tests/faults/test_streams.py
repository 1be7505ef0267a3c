"""Streams of events in real processes: several of them on one queue, their end, and clients that do not read."""

import contextlib
import signal
import socket
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import requests

from app import open_queue
from database.job_store import JobStore
from job import NewFile, Priority, utc_now
from settings import Settings
from tests.service import POLL_SECONDS, SAMPLES, Service, running
from tests.web.event_stream import Stream, following

PICTURES = [(path.name, path.read_bytes()) for path in SAMPLES[:1]]
FOUR = [sys.executable, "-m", "gunicorn", "app:app", "--workers", "4", "--bind", "127.0.0.1:{port}"]
STREAMS = 200
# As /proc/net/tcp writes it.
ESTABLISHED = "01"


def processes_with_clients(service: Service) -> int:
    """How many of its processes hold a connection that somebody made to it."""
    port = f":{int(service.url.rpartition(':')[2]):04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    held = {f"socket:[{row[9]}]" for row in rows if row[1].endswith(port) and row[3] == ESTABLISHED}
    return sum(not held.isdisjoint(descriptors(pid)) for pid in service.processes())


def descriptors(pid: int) -> set[str]:
    found = set()
    for number in Path(f"/proc/{pid}/fd").glob("*"):
        with contextlib.suppress(FileNotFoundError):
            found.add(str(number.readlink()))
    return found


def spread_out(service: Service, opened: ExitStack) -> list[Stream]:
    """Streams of at least two of its processes."""
    streams: list[Stream] = []
    deadline = time.monotonic() + 20
    while processes_with_clients(service) < 2:
        assert time.monotonic() < deadline
        streams += [opened.enter_context(following(f"{service.url}/queue/events")) for _ in range(4)]
    for stream in streams:
        stream.next("stats")
    return streams


def test_four_processes_tell_of_one_queue(tmp_path: Path) -> None:
    with running(tmp_path, FOUR) as service, ExitStack() as opened:
        service.wait_until("/ready")
        streams = spread_out(service, opened)
        job_id = service.submit(PICTURES)
        numbers = set()
        for stream in streams:
            last = stream.until("job", id=job_id, status="completed")[-1]
            numbers.add(last.id)
        assert len(numbers) == 1
        with ThreadPoolExecutor(8) as clients:
            missed = clients.map(lambda _: first_of_replay(service), range(8))
        assert {(told["id"], told["status"]) for told in missed} == {(job_id, "completed")}
        begin = time.monotonic()
        service.process.terminate()
        for stream in streams:
            stream.rest()
        assert service.process.wait(30) == 0
        assert time.monotonic() - begin < 20
        assert "Traceback" not in service.log


def first_of_replay(service: Service) -> dict[str, object]:
    with following(f"{service.url}/queue/events", 0) as stream:
        told: dict[str, object] = stream.next("job").data
        return told


def test_many_streams_end_when_the_service_does(tmp_path: Path) -> None:
    with running(tmp_path) as service, ExitStack() as opened:
        service.wait_until("/ready")
        requests.post(f"{service.url}/queue/pause", timeout=10).raise_for_status()
        job_id = service.submit(PICTURES)
        paths = [f"/queue/job/{job_id}/events" if number % 2 else "/queue/events" for number in range(STREAMS)]
        streams = [opened.enter_context(following(service.url + path)) for path in paths]
        for stream in streams:
            stream.next("stats", "job")
        begin = time.monotonic()
        service.process.terminate()
        for stream in streams:
            stream.rest()
        assert service.process.wait(20) in (0, -signal.SIGTERM)
        assert time.monotonic() - begin < 7, "shorter than the limit for last answers"
        assert "Traceback" not in service.log
        assert "Cancel" not in service.log


def fill(folder: Path) -> None:
    """More to tell than fits between two sockets."""
    queue = open_queue(Settings(data_dir=folder))
    for _ in range(60):
        job_id = str(uuid.uuid4())
        files = [NewFile(f"{n}{'x' * 600}.png", f"uploads/{job_id}/{n}", 100, "cd" * 32, "png") for n in range(100)]
        work = ("remove_background", "u2netp", {"model": "u2netp"})
        JobStore(queue.database).insert(utc_now(), job_id, *work, {}, Priority.NORMAL, files, [], 10**6, None)
    queue.set_paused(True)
    queue.database.close()


def test_one_who_reads_nothing_does_not_keep_the_service_from_stopping(tmp_path: Path) -> None:
    fill(tmp_path)
    with running(tmp_path) as service, socket.socket() as idle:
        service.wait_until("/ready")
        idle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        idle.connect(("127.0.0.1", int(service.url.rpartition(":")[2])))
        idle.sendall(b"GET /queue/events HTTP/1.1\r\nHost: here\r\nLast-Event-ID: 0\r\n\r\n")
        while b"event: job" not in idle.recv(4096):
            time.sleep(POLL_SECONDS)
        assert requests.get(f"{service.url}/health", timeout=5).status_code == 200
        with half_a_request(service) as half:
            service.process.terminate()
            refusal = half.recv(4096)
            assert refusal.startswith(b"HTTP/1.1 503")
            assert b'"code":"stopping"' in refusal
        assert service.process.wait(30) in (0, -signal.SIGTERM)
        assert "stopped before POST /queue/jobs/act was over" in service.log
        assert "Application shutdown complete" in service.log


def half_a_request(service: Service) -> socket.socket:
    """Its client is slow, or gone without a word."""
    connection = socket.create_connection(("127.0.0.1", int(service.url.rpartition(":")[2])), 30)
    head = b"Host: here\r\nContent-Type: application/json\r\nContent-Length: 500"
    connection.sendall(b"POST /queue/jobs/act HTTP/1.1\r\n" + head + b"\r\n\r\n{")
    requests.get(f"{service.url}/health", timeout=5)
    return connection
