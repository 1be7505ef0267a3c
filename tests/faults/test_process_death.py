"""The service dies, in every way a process can: no file is lost or done twice, and no child stays behind."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.children import results_of
from tests.service import SAMPLES, Service, children_of, running, wait_until_dead

PICTURES = [(path.name, path.read_bytes()) for path in SAMPLES]
GUNICORN = [
    *(sys.executable, "-m", "gunicorn", "app:app", "--workers", "4"),
    *("--worker-class", "uvicorn.workers.UvicornWorker", "--bind", "127.0.0.1:{port}"),
]


def outputs(data_dir: Path) -> list[Path]:
    """Results without their previews."""
    return [path for path in (data_dir / "data" / "results").rglob("*") if path.is_file() and not path.suffix]


def test_kill_9_leaves_no_child_and_a_restart_finishes_the_job(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        service.wait_until("/ready")
        job_id = service.submit(PICTURES * 10)
        busy = children_of(service)
        assert busy
        family = service.processes()
        service.kill()
        assert wait_until_dead(family, 5) == []
    with running(tmp_path) as service:
        view = service.wait_for(job_id)
    assert view["status"] == "completed"
    assert view["progress"] == {"total": 10 * len(PICTURES), "processed": 10 * len(PICTURES), "failed": 0}


def test_sigterm_to_the_whole_group_lets_the_running_picture_finish(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        service.wait_until("/ready")
        job_id = service.submit(PICTURES * 5)
        os.killpg(service.process.pid, signal.SIGTERM)
        assert service.process.wait(30) in (0, -signal.SIGTERM)
        assert "given back unfinished" not in service.log
        assert "lease is lost" not in service.log
    with running(tmp_path) as service:
        view = service.wait_for(job_id)
    assert view["progress"] == {"total": 5 * len(PICTURES), "processed": 5 * len(PICTURES), "failed": 0}
    assert all(result["attempts"] == 1 for result in results_of(view))


def test_without_a_drain_running_pictures_are_given_back_without_blame(tmp_path: Path) -> None:
    with running(tmp_path, drain_seconds="0") as service:
        service.wait_until("/ready")
        job_id = service.submit(PICTURES * 3)
        service.process.terminate()
        service.process.wait(30)
    with running(tmp_path) as service:
        view = service.wait_for(job_id)
    assert all(result["attempts"] == 1 for result in results_of(view))


def test_a_killed_child_costs_one_attempt_of_one_file(tmp_path: Path) -> None:
    with running(tmp_path, max_concurrent="1") as service:
        service.wait_until("/ready")
        (child,) = children_of(service)
        os.kill(child, signal.SIGSTOP)  # so that it is surely killed in the middle of a file
        job_id = service.submit(PICTURES)
        service.wait_for_active(1)
        os.kill(child, signal.SIGKILL)
        view = service.wait_for(job_id)
    assert view["status"] == "completed"
    assert sorted(int(str(result["attempts"])) for result in results_of(view)) == [1, 1, 2]
    assert "attempt 1 failed, again in" in service.log


@pytest.fixture(scope="module")
def four_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("gunicorn"), GUNICORN) as service:
        service.wait_until("/ready")
        yield service


def test_four_gunicorn_workers_share_one_queue_and_do_nothing_twice(four_workers: Service) -> None:
    small = PICTURES[0]
    jobs = [four_workers.submit([small]) for _ in range(200)]
    views = [four_workers.wait_for(job_id) for job_id in jobs]
    assert {view["status"] for view in views} == {"completed"}
    assert len(outputs(four_workers.data_dir)) == len(jobs)
    assert four_workers.log.count(": completed in") == len(jobs)
    assert all(result["attempts"] == 1 for view in views for result in results_of(view))


def test_when_the_process_with_the_worker_dies_another_takes_over(four_workers: Service) -> None:
    holder = worker_pid(four_workers)
    job_id = four_workers.submit(PICTURES * 5)
    os.kill(holder, signal.SIGKILL)
    view = four_workers.wait_for(job_id)
    assert view["progress"] == {"total": 5 * len(PICTURES), "processed": 5 * len(PICTURES), "failed": 0}
    assert worker_pid(four_workers) != holder


def worker_pid(service: Service) -> int:
    """The process that said last that it is the worker: `worker HOST/PID-… runs`."""
    lines = [line for line in service.log.splitlines() if "pictures at once" in line]
    return int(lines[-1].split("/")[1].split("-")[0])
