"""The disk fills, or becomes read-only, under a real service: it says so, loses nothing, and goes on without a restart.

The disk is a tmpfs of a few MiB under the data directory.
"""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from storage.local import PART_SUFFIX
from tests.faults.children import in_the_middle
from tests.service import SAMPLES, Service, running
from tests.small_disk import SmallDisk, small_disk

MIB = 2**20
PICTURES = [(path.name, path.read_bytes()) for path in SAMPLES]
# More than SQLite's log and the results in hand take while the disk fills.
RESERVE = 6 * MIB
# The sweep of the service, a day later; then SQLite's own check. On the disk: SQLite resolves the way to it.
SWEEP_AND_CHECK = """
import sqlite3, sys
from datetime import timedelta
from pathlib import Path
from database.engine import Database
from queue_manager import QueueManager
from storage.local import LocalStorage
from tests.queues import LIMITS

folder = Path(sys.argv[1])
database = Database(f"sqlite:///{folder / 'queue.db'}")
QueueManager(database, LocalStorage(folder / "data"), LIMITS).sweep_orphans(-timedelta(seconds=1))
print(*sqlite3.connect(folder / "queue.db").execute("PRAGMA integrity_check").fetchone())
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", 32) as made:
        yield made


def problem_of_submit(service: Service) -> tuple[int, str, str]:
    """Status, code and sentence of a submit that is refused."""
    answer = requests.post(f"{service.url}/queue/submit", files=[("images", PICTURES[0])], timeout=30)
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    assert int(answer.headers["Retry-After"]) > 0
    return answer.status_code, answer.json()["code"], answer.json()["detail"]


def reason_not_ready(service: Service) -> str:
    answer = requests.get(f"{service.url}/ready", timeout=30)
    assert answer.status_code == 503
    reason: str = answer.json()["reason"]
    return reason


def check_finished(service: Service, disk: SmallDisk, job_id: str, files: int) -> None:
    """Every file has its result, once; the database is whole, and nothing unfinished lies about."""
    view = service.wait_for(job_id)
    assert view["progress"] == {"total": files, "processed": files, "failed": 0}, service.log
    assert service.log.count(": completed in") == files
    for index in range(files):
        answer = requests.get(f"{service.url}/queue/job/{job_id}/result/{index}", timeout=30)
        assert answer.content.startswith(b"\x89PNG")
    assert disk.run(sys.executable, "-c", SWEEP_AND_CHECK, str(disk.folder)) == "ok\n"
    kept = [path for path in (disk.path / "data").rglob("*/*/*") if path.is_file()]
    assert not [path for path in kept if path.name.endswith(PART_SUFFIX)]
    assert len(kept) == 4 * files, "uploads, results, and two previews of each"


def check_log(service: Service) -> None:
    """Trouble that goes on is told when it begins and when it ends, not at every look."""
    lines = [line for line in service.log.splitlines() if "uvicorn.access" not in line]
    assert "Traceback" not in service.log
    assert len(lines) < 100, service.log


def test_within_the_reserve_submits_are_refused_and_the_worker_pauses(tmp_path: Path, disk: SmallDisk) -> None:
    with running(disk.folder, disk.service_command, max_concurrent="1", disk_reserve_bytes=f"{RESERVE}") as service:
        job_id, child = in_the_middle(service, PICTURES)
        disk.fill(leave_bytes=RESERVE)
        os.kill(child, signal.SIGCONT)
        service.wait_for_log("claiming files has trouble and is tried again: The disk is nearly full")
        status, code, detail = problem_of_submit(service)
        assert (status, code) == (507, "storage_full")
        assert detail == "The disk of the service is nearly full. Nothing of this request was kept."
        assert reason_not_ready(service) == "The disk is nearly full."
        view = service.job(job_id)
        # What was in hand is done: the reserve is there for it.
        assert view["progress"] == {"total": 3, "processed": 1, "failed": 0}
        disk.clear()
        check_finished(service, disk, job_id, 3)
        service.wait_until("/ready")
        check_log(service)


def test_a_disk_that_is_full_to_the_last_byte_loses_no_accepted_file(tmp_path: Path, disk: SmallDisk) -> None:
    with running(disk.folder, disk.service_command, max_concurrent="1", disk_reserve_bytes="0") as service:
        job_id, child = in_the_middle(service, PICTURES * 2)
        disk.fill()
        os.kill(child, signal.SIGCONT)
        service.wait_for_log("(astronaut.jpg): given back: The disk of the service is full.")
        service.wait_for_log("(astronaut.jpg): writing down its outcome has trouble and is tried again: The disk of")
        for _ in range(20):
            assert problem_of_submit(service)[:2] == (507, "storage_full")
        assert reason_not_ready(service) in ("The disk is nearly full.", "The database cannot be written to.")
        assert requests.get(f"{service.url}/health", timeout=10).status_code == 200
        assert service.job(job_id)["status"] == "processing"
        disk.clear()
        check_finished(service, disk, job_id, 6)
        service.wait_until("/ready")
        check_log(service)


def test_uploads_that_fill_the_disk_are_refused_and_leave_nothing(tmp_path: Path, disk: SmallDisk) -> None:
    """There is room when the upload begins, and none when it ends."""
    with running(disk.folder, disk.service_command, max_concurrent="1", disk_reserve_bytes="0") as service:
        service.wait_until("/ready")
        job_id = service.submit(PICTURES)
        service.wait_for(job_id)
        met = set()
        # It is 124 KiB: at first its bytes fit, and the rows of its job do not.
        for room in (140, 132, 100, 40, 8):
            disk.fill(leave_bytes=room * 1024)
            answer = requests.post(
                f"{service.url}/queue/submit",
                params={"model": "u2netp"},
                files=[("images", PICTURES[0])],
                timeout=30,
            )
            assert answer.status_code == 507, answer.text
            assert answer.headers["content-type"] == "application/problem+json"
            met.add(answer.json()["code"])
        disk.clear()
        check_finished(service, disk, job_id, 3)
        check_log(service)
        assert met == {"storage_full", "database_full"}


def test_a_read_only_data_directory_refuses_the_start_with_a_sentence(tmp_path: Path, disk: SmallDisk) -> None:
    disk.run("mkdir", f"{disk.folder}/data")
    disk.run("mount", "-o", "remount,ro", str(disk.folder))
    with running(disk.folder, disk.service_command) as service:
        assert service.process.wait(30) != 0
        assert "The service cannot start: its data directory cannot be made or used" in service.log
        assert "Read-only file system" in service.log
        assert "Traceback" not in service.log


def test_a_full_disk_refuses_the_first_start_with_a_sentence(tmp_path: Path, disk: SmallDisk) -> None:
    disk.fill()
    with running(disk.folder, disk.service_command) as service:
        assert service.process.wait(30) != 0
        assert "The service cannot start. The disk of the database is full: nothing was written." in service.log
        assert "Traceback" not in service.log


def test_storage_that_becomes_read_only_stops_the_worker_and_says_so(tmp_path: Path, disk: SmallDisk) -> None:
    """Only `data/`, as when it is a volume of its own: a disk with open files cannot be made read-only as a whole."""
    data = f"{disk.folder}/data"
    with running(disk.folder, disk.service_command, max_concurrent="1", disk_reserve_bytes="0") as service:
        job_id, child = in_the_middle(service, PICTURES)
        disk.run("mount", "--bind", data, data)
        disk.run("mount", "-o", "remount,bind,ro", data)
        os.kill(child, signal.SIGCONT)
        service.wait_for_log("claiming files has trouble and is tried again: Storage is read-only")
        for _ in range(20):
            assert problem_of_submit(service)[:2] == (503, "storage_error")
        assert reason_not_ready(service) == "The storage cannot be written to."
        assert service.job(job_id)["progress"] == {"total": 3, "processed": 0, "failed": 0}
        disk.run("umount", data)
        check_finished(service, disk, job_id, 3)
        service.wait_until("/ready")
        check_log(service)
