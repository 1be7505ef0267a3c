"""The machine's clock is set an hour forth or back under a real service: nothing is stuck, nothing is done twice.

By libfaketime (Debian: `apt install faketime`), which every process of the service has loaded. The monotonic clock
goes on, as on a real machine.
"""

import os
import shutil
import signal
import sys
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
import requests

from tests.service import PATIENCE_SECONDS, POLL_SECONDS, SAMPLES, Service, children_of, running

PICTURES = [(path.name, path.read_bytes()) for path in SAMPLES]
HOUR = 3600


@pytest.fixture
def offset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that says how far the service's clock is ahead, in seconds; read again once a second."""
    if shutil.which("faketime") is None:
        pytest.skip("faketime is not installed, so the clock of one process cannot be set")
    file = tmp_path / "offset"
    file.write_text("+0")
    monkeypatch.setenv("FAKETIME_TIMESTAMP_FILE", str(file))
    monkeypatch.setenv("FAKETIME_CACHE_DURATION", "1")
    monkeypatch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    monkeypatch.setenv("NO_FAKE_STAT", "1")
    return file


# Not by its command, which sets FAKETIME: that would count more than the file. $LIB is for the dynamic loader.
COMMAND = [
    *("env", "LD_PRELOAD=/usr/$LIB/faketime/libfaketime.so.1", sys.executable, "-m", "uvicorn", "app:app"),
    *("--host", "127.0.0.1", "--port", "{port}"),
]


def submit_with_key(service: Service) -> requests.Response:
    return requests.post(
        f"{service.url}/queue/submit",
        params={"model": "u2netp"},
        headers={"Idempotency-Key": "only once"},
        files=[("images", PICTURES[0])],
        timeout=30,
    )


def seconds_ahead(service: Service) -> float:
    """Of the service's clock."""
    told = parsedate_to_datetime(requests.get(f"{service.url}/health", timeout=10).headers["Date"])
    return (told - datetime.now(UTC)).total_seconds()


@pytest.mark.parametrize("step", [HOUR, -HOUR])
def test_a_step_of_the_clock(tmp_path: Path, offset: Path, step: int) -> None:
    with running(tmp_path / "data-dir", COMMAND, max_concurrent="1", sweep_seconds="0.5") as service:
        service.wait_until("/ready")
        done = service.submit(PICTURES[:1])
        service.wait_for(done)
        (child,) = children_of(service)
        os.kill(child, signal.SIGSTOP)
        job_id = service.submit(PICTURES)
        with_key = submit_with_key(service).json()["job_id"]
        service.wait_for_active(1)

        offset.write_text(f"{step:+d}")
        deadline = time.monotonic() + PATIENCE_SECONDS
        while abs(seconds_ahead(service) - step) > 60:
            assert time.monotonic() < deadline
            time.sleep(POLL_SECONDS)

        service.wait_until("/ready")
        stats = requests.get(f"{service.url}/queue/stats", timeout=10).json()
        assert stats["worker"]["status"] == "running"
        assert stats["worker"]["active_jobs"] == 1
        again = submit_with_key(service)
        assert (again.json()["job_id"], again.headers["Idempotent-Replayed"]) == (with_key, "true")
        later = service.submit(PICTURES[:1])
        # Killed, so that the file waits for its second attempt under the new clock.
        os.kill(child, signal.SIGKILL)
        for job in (job_id, with_key, later, done):
            view = service.wait_for(job)
            assert view["status"] == "completed"
            results = view["results"]
            assert isinstance(results, list)
            assert all(result["error"] is None and 0 <= result["seconds"] < HOUR / 2 for result in results)
        assert service.log.count(": completed in") == 6
        assert "lease expired" not in service.log
        assert "the lease is lost" not in service.log
        stats = requests.get(f"{service.url}/queue/stats", timeout=10).json()["stats"]
        assert stats == {"pending": 0, "processing": 0, "completed": 4, "failed": 0, "cancelled": 0, "total": 4}
        assert "Traceback" not in service.log
