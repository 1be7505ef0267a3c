"""Another process holds the database, or it cannot be written: clear answers, nothing lost, nothing done twice."""

import contextlib
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests

from database.engine import BUSY_TIMEOUT_SECONDS
from tests.faults.children import in_the_middle
from tests.service import POLL_SECONDS, SAMPLES, Service, running

PICTURES = [(path.name, path.read_bytes()) for path in SAMPLES]
HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA busy_timeout = 10000")
connection.execute(sys.argv[2])
print("held", flush=True)
sys.stdin.read()
"""
# Beyond it no file of the service grows; less than its database's log has at once, more than what it says.
LARGEST_FILE_BYTES = 64 * 1024


@contextlib.contextmanager
def held_by_another(service: Service, statement: str) -> Iterator[None]:
    """Another process keeps the database's write lock."""
    command = [sys.executable, "-c", HOLD, str(service.data_dir / "queue.db"), statement]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        try:
            yield
        finally:
            holder.stdin.close()


def submit(service: Service) -> requests.Response:
    return requests.post(
        f"{service.url}/queue/submit", params={"model": "u2netp"}, files=[("images", PICTURES[0])], timeout=120
    )


def health(service: Service) -> int:
    return requests.get(f"{service.url}/health", timeout=5).status_code


def check_finished(service: Service, job_id: str) -> None:
    """Each file has ended with its result, at the first attempt."""
    view = service.wait_for(job_id)
    assert view["progress"] == {"total": 3, "processed": 3, "failed": 0}, service.log
    results = view["results"]
    assert isinstance(results, list)
    assert [result["attempts"] for result in results] == [1, 1, 1]


def check_log(service: Service) -> None:
    """Trouble that goes on is told when it begins and when it ends, not at every look."""
    assert "Traceback" not in service.log
    assert len([line for line in service.log.splitlines() if "uvicorn.access" not in line]) < 100, service.log


def test_a_lock_of_ten_seconds_is_waited_for(tmp_path: Path) -> None:
    with running(tmp_path, max_concurrent="1") as service, ThreadPoolExecutor(8) as threads:
        job_id, child = in_the_middle(service, PICTURES)
        with held_by_another(service, "BEGIN IMMEDIATE"):
            until = time.monotonic() + 10
            os.kill(child, signal.SIGCONT)
            waiting = [threads.submit(submit, service) for _ in range(8)]
            while time.monotonic() < until:
                assert health(service) == 200
                assert service.job(job_id)["status"] == "processing"
                time.sleep(POLL_SECONDS)
        answers = [future.result() for future in waiting]
        assert {answer.status_code for answer in answers} == {202}
        check_finished(service, job_id)
        assert service.log.count(f"job {job_id} file 0 ({PICTURES[0][0]}): completed in") == 1
        for answer in answers:
            assert service.wait_for(answer.json()["job_id"])["status"] == "completed"
        assert len({answer.json()["job_id"] for answer in answers}) == 8
        check_log(service)


def test_a_lock_that_lasts_longer_refuses_submits_and_loses_nothing(tmp_path: Path) -> None:
    with running(tmp_path, max_concurrent="1") as service, ThreadPoolExecutor(8) as threads:
        job_id, child = in_the_middle(service, PICTURES)
        with held_by_another(service, "BEGIN EXCLUSIVE"):
            os.kill(child, signal.SIGCONT)
            waiting = [threads.submit(submit, service) for _ in range(3)]
            # The outcome of the picture that was done meanwhile is kept until it can be written.
            service.wait_for_log(f"({PICTURES[0][0]}): writing down its outcome has trouble and is tried again")
            while not all(future.done() for future in waiting):
                assert health(service) == 200
                time.sleep(POLL_SECONDS)
        for answer in [future.result() for future in waiting]:
            assert (answer.status_code, answer.json()["code"]) == (503, "database_error")
            assert answer.headers["content-type"] == "application/problem+json"
            assert int(answer.headers["Retry-After"]) > 0
            assert answer.elapsed.total_seconds() >= BUSY_TIMEOUT_SECONDS
        check_finished(service, job_id)
        assert service.log.count(f"job {job_id} file 0 ({PICTURES[0][0]}): completed in") == 1
        service.wait_until("/ready")
        assert requests.get(f"{service.url}/queue/jobs", timeout=10).json()["total"] == 1
        check_log(service)


def test_a_database_that_cannot_be_written_is_told_and_passes(tmp_path: Path) -> None:
    """The kernel refuses every write of the service beyond a place that its files have reached."""
    with running(tmp_path, max_concurrent="1", log_level="WARNING") as service:
        job_id, child = in_the_middle(service, PICTURES)
        while (tmp_path / "queue.db-wal").stat().st_size < 2 * LARGEST_FILE_BYTES:
            requests.post(f"{service.url}/queue/pause", timeout=10).raise_for_status()
            requests.post(f"{service.url}/queue/resume", timeout=10).raise_for_status()
        limits = resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, (LARGEST_FILE_BYTES, limits[1]))
        os.kill(child, signal.SIGCONT)
        service.wait_for_log(f"({PICTURES[0][0]}): writing down its outcome has trouble and is tried again")
        answer = requests.get(f"{service.url}/ready", timeout=10)
        assert (answer.status_code, answer.json()["reason"]) == (503, "The database cannot be written to.")
        for picture in PICTURES:  # one that is small enough fails at its rows, the others at their bytes
            answer = requests.post(f"{service.url}/queue/submit", files=[("images", picture)], timeout=10)
            assert answer.status_code == 503, answer.text
            assert answer.json()["code"] in ("database_error", "storage_error")
        assert health(service) == 200
        resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, limits)
        check_finished(service, job_id)
        service.wait_until("/ready")
        check_log(service)
