"""The service is told to stop, or to start again with other code: it says so, and keeps nobody waiting."""

import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests

from tests.service import POLL_SECONDS, SAMPLES, Service, children_of, running

PICTURES = [(path.name, path.read_bytes()) for path in SAMPLES]


def attempts(view: dict[str, object]) -> list[int]:
    results = view["results"]
    assert isinstance(results, list)
    return [result["attempts"] for result in results]


def test_before_it_stops_it_is_not_ready_and_still_serves(tmp_path: Path) -> None:
    with running(tmp_path, pre_stop_seconds="3") as service:
        service.wait_until("/ready")
        service.process.terminate()
        service.wait_until("/ready", 503)
        answer = requests.get(f"{service.url}/ready", timeout=5)
        assert answer.json()["reason"] == "The service is stopping."
        assert requests.get(f"{service.url}/health", timeout=5).status_code == 200
        job_id = service.submit(PICTURES)
        assert service.process.wait(30) in (0, -signal.SIGTERM)
    with running(tmp_path) as service:
        assert attempts(service.wait_for(job_id)) == [1, 1, 1]


def test_gunicorn_too_says_goodbye_first(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gunicorn", "app:app", "--workers", "2", "--bind", "127.0.0.1:{port}"]
    with running(tmp_path, command, pre_stop_seconds="3") as service:
        service.wait_until("/ready")
        service.process.terminate()
        service.wait_until("/ready", 503)
        assert requests.get(f"{service.url}/health", timeout=5).status_code == 200
        assert service.process.wait(30) == 0
        assert "Traceback" not in service.log


def reloading(folder: Path) -> list[str]:
    """As a developer starts it; a change of Python files in the folder makes it start again."""
    served = ["app:app", "--host", "127.0.0.1", "--port", "{port}"]
    return [sys.executable, "-m", "uvicorn", *served, "--reload", "--reload-dir", str(folder)]


def busy(service: Service) -> str:
    """A job one of whose pictures is surely in hand: its child stands still."""
    service.wait_until("/ready")
    (child,) = children_of(service)
    os.kill(child, signal.SIGSTOP)
    job_id = service.submit(PICTURES)
    service.wait_for_active(1)
    return job_id


def test_under_reload_a_stop_waits_for_no_picture(tmp_path: Path) -> None:
    with running(tmp_path, reloading(tmp_path), max_concurrent="1", drain_seconds="120") as service:
        job_id = busy(service)
        service.process.terminate()
        service.process.wait(30)
        assert "given back unfinished" in service.log
    with running(tmp_path) as service:
        assert attempts(service.wait_for(job_id)) == [1, 1, 1]


def test_a_reload_gives_back_what_is_in_hand_and_goes_on(tmp_path: Path) -> None:
    with running(tmp_path, reloading(tmp_path), max_concurrent="1", drain_seconds="120") as service:
        job_id = busy(service)
        while service.log.count("pictures at once") == 1:
            # Written again and again: the first time may come before the folder is watched.
            (tmp_path / "changed.py").write_text(f"# {time.monotonic()}")
            time.sleep(POLL_SECONDS)
        assert attempts(service.wait_for(job_id)) == [1, 1, 1]


def test_a_full_disk_is_told_and_passes(tmp_path: Path) -> None:
    """Here the reserve is what no disk has."""
    with running(tmp_path) as service:
        service.wait_until("/ready")
        requests.post(f"{service.url}/queue/pause", timeout=10).raise_for_status()
        job_id = service.submit(PICTURES)
    with running(tmp_path, disk_reserve_bytes=f"{2**60}") as service:
        service.wait_until("/ready", 503)
        requests.post(f"{service.url}/queue/resume", timeout=10).raise_for_status()
        answer = requests.post(f"{service.url}/queue/submit", files=[("images", PICTURES[0])], timeout=10)
        assert (answer.status_code, answer.json()["code"]) == (507, "storage_full")
        assert requests.get(f"{service.url}/ready", timeout=10).json()["reason"] == "The disk is nearly full."
        assert service.job(job_id)["status"] == "pending"
    with running(tmp_path) as service:
        assert attempts(service.wait_for(job_id)) == [1, 1, 1]


def test_whoever_waits_for_a_picture_does_not_keep_a_service_from_stopping(tmp_path: Path) -> None:
    with running(tmp_path, max_concurrent="1", drain_seconds="0") as service, ThreadPoolExecutor(1) as client:
        job_id = busy(service)
        asked = client.submit(requests.post, f"{service.url}/remove", files={"image": PICTURES[0]}, timeout=60)
        service.wait_for_log("files 1,")
        service.process.terminate()
        answer = asked.result()
        assert answer.status_code == 202
        assert service.process.wait(20) in (0, -signal.SIGTERM)
    with running(tmp_path) as service:
        assert attempts(service.wait_for(answer.json()["job_id"])) == [1]
        assert attempts(service.wait_for(job_id)) == [1, 1, 1]
