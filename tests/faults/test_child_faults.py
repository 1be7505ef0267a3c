"""A child crashes, hangs or runs out of memory under a real service: one attempt of one file is lost, and no more."""

import resource
import signal
import sys
import time
from pathlib import Path

import pytest
import requests
from PIL import Image

from tests.faults.children import hold, results_of, signal_all
from tests.pictures import encode
from tests.service import POLL_SECONDS, SAMPLES, Service, children_of, running, wait_until_dead

PHOTO = SAMPLES[0].read_bytes()
# Its decoder asks for memory of its own, far from Python's.
with Image.open(SAMPLES[0]) as cat:
    WEBP = encode(cat.convert("RGB").resize((2000, 1500)), "WEBP")
FAULTY_APP = [
    *(sys.executable, "-m", "uvicorn", "tests.faults.faulty_app:app"),
    *("--host", "127.0.0.1", "--port", "{port}"),
]
# Generous for a small photo on a busy machine; it only has to be over some day.
TIMEOUT_SECONDS = "10"


def test_a_fault_that_comes_with_the_picture_fails_that_file_alone(tmp_path: Path) -> None:
    faults = {
        "crash": ("child_died", "The process that worked on the picture died (a crash, or out of memory)."),
        "hang.": ("timeout", "The picture took longer than the 10 seconds that one may take."),
        "hoard": ("processing_failed", "The picture needs more memory than there is."),
    }
    pictures = [picture for fault in faults for picture in ((fault, PHOTO + fault.encode()), ("sound", PHOTO))]
    settings = {"max_concurrent": "2", "max_attempts": "2", "file_timeout_seconds": TIMEOUT_SECONDS}
    with running(tmp_path, FAULTY_APP, **settings) as service:
        service.wait_until("/ready")
        job_id = service.submit(pictures)
        other_id = service.submit([("sound", PHOTO)] * 6)
        other, job = service.wait_for(other_id), service.wait_for(job_id)
        service.wait_until("/ready")
        assert "onnxruntime" not in Path(f"/proc/{service.process.pid}/maps").read_text()
    sound = [entry for entry in [*results_of(job), *results_of(other)] if entry["filename"] == "sound"]
    assert [(entry["status"], entry["attempts"]) for entry in sound] == [("completed", 1)] * 9
    for entry in results_of(job):
        if entry["filename"] in faults:
            name, index = str(entry["filename"]), entry["index"]
            assert (entry["status"], entry["attempts"]) == ("failed", 2)
            assert (entry["error_code"], entry["error"]) == faults[name]
            assert service.log.count(f"job {job_id} file {index} ({name}): attempt") == 1
            assert service.log.count(f"job {job_id} file {index} ({name}): failed: {faults[name][1]}") == 1


def finish_with_one_attempt_lost(service: Service, jobs: list[str], reason: str) -> None:
    """All files of the jobs succeed, one of them at the second attempt, and the log says which and why."""
    entries = [(job_id, entry) for job_id in jobs for entry in results_of(service.wait_for(job_id))]
    assert {entry["status"] for _, entry in entries} == {"completed"}
    assert sorted(int(str(entry["attempts"])) for _, entry in entries) == [1] * (len(entries) - 1) + [2]
    ((job_id, hit),) = ((job_id, entry) for job_id, entry in entries if entry["attempts"] == 2)
    (line,) = (line for line in service.log.splitlines() if ": attempt " in line)
    assert f"job {job_id} file {hit['index']} ({hit['filename']}): attempt 1 failed, again in" in line
    assert reason in line
    service.wait_until("/ready")


def test_a_child_that_stands_still_loses_its_file_to_another(tmp_path: Path) -> None:
    with running(tmp_path, max_concurrent="2", file_timeout_seconds=TIMEOUT_SECONDS) as service:
        service.wait_until("/ready")
        jobs = [service.submit([("photo.jpg", PHOTO)] * 5) for _ in range(3)]
        victim, *others = hold(service, 2)
        signal_all(others, signal.SIGCONT)
        assert wait_until_dead([victim], 30) == []
        finish_with_one_attempt_lost(service, jobs, "took longer than the 10 seconds")


# How much a child may still allocate: too little for the native decoder, and too little for the model.
@pytest.mark.parametrize("left_mib", [10, 60])
def test_a_child_without_memory_calls_no_good_picture_damaged(tmp_path: Path, left_mib: int) -> None:
    with running(tmp_path, max_concurrent="2") as service:
        service.wait_until("/ready")
        jobs = [service.submit([("photo.webp", WEBP)] * 4) for _ in range(2)]
        victim, *others = hold(service, 2)
        limit(victim, left_mib)
        signal_all([victim, *others], signal.SIGCONT)
        finish_with_one_attempt_lost(service, jobs, "The picture needs more memory than there is.")
        assert wait_until_dead([victim], 30) == []


def limit(pid: int, left_mib: int) -> None:
    """Lower a process's RLIMIT_DATA to what it has now and so much more."""
    status = Path(f"/proc/{pid}/status").read_text()
    used = next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmData:"))
    _, hard = resource.prlimit(pid, resource.RLIMIT_DATA)
    resource.prlimit(pid, resource.RLIMIT_DATA, (used + left_mib * 2**20, hard))


def test_a_child_that_dies_while_it_loads_the_default_model_is_replaced(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        service.wait_until("/health")
        while not (loading := children_of(service)):
            time.sleep(POLL_SECONDS)
        signal_all(loading, signal.SIGKILL)
        service.wait_for_log("The process that loads model u2netp died.")
        assert requests.get(f"{service.url}/ready", timeout=10).status_code == 503
        # A picture has its own child made, and that shows that the model can be loaded.
        finished = service.wait_for(service.submit([("photo.jpg", PHOTO)]))
        assert [entry["attempts"] for entry in results_of(finished)] == [1]
        service.wait_until("/ready")
