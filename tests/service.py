"""A real server process for tests: started on a free port with its own data directory, ended by its own handle."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import requests

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = sorted((ROOT / "docs" / "samples").glob("*.jpg"))
POLL_SECONDS = 0.05
PATIENCE_SECONDS = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Service:
    """A running service; `url` has no slash at its end."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int, data_dir: Path, log: Path) -> None:
        self.process = process
        self.url = f"http://127.0.0.1:{port}"
        self.data_dir = data_dir
        self.log_path = log

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def wait_until(self, path: str, status: int = 200) -> None:
        """Poll until a path answers with a status."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            assert self.process.poll() is None, f"the service ended early:\n{self.log}"
            with contextlib.suppress(requests.ConnectionError, requests.Timeout):
                if requests.get(self.url + path, timeout=5).status_code == status:
                    return
            time.sleep(POLL_SECONDS)
        raise AssertionError(f"{path} never answered {status}:\n{self.log}")

    def submit(self, pictures: Sequence[tuple[str, bytes]], **query: str) -> str:
        """Queue pictures given as (name, bytes); the job's id."""
        answer = requests.post(
            f"{self.url}/queue/submit",
            # Tests send the same few pictures, and want them worked on.
            params={"model": "u2netp", "cache": "off", **query},
            files=[("images", picture) for picture in pictures],
            timeout=60,
        )
        assert answer.status_code == 202, answer.text
        job_id: str = answer.json()["job_id"]
        return job_id

    def job(self, job_id: str) -> dict[str, object]:
        view: dict[str, object] = requests.get(f"{self.url}/queue/job/{job_id}", timeout=10).json()
        return view

    def wait_for(self, job_id: str, patience_seconds: float = PATIENCE_SECONDS) -> dict[str, object]:
        """Poll until a job has ended."""
        deadline = time.monotonic() + patience_seconds
        while time.monotonic() < deadline:
            with contextlib.suppress(requests.ConnectionError):
                view = self.job(job_id)
                if view["status"] in ("completed", "failed", "cancelled"):
                    return view
            time.sleep(POLL_SECONDS)
        raise AssertionError(f"job {job_id} never ended:\n{self.log}")

    def wait_for_active(self, files: int) -> None:
        """Poll until so many pictures are being worked on."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            if requests.get(f"{self.url}/queue/stats", timeout=10).json()["worker"]["active_jobs"] == files:
                return
            time.sleep(POLL_SECONDS)
        raise AssertionError(f"never {files} active:\n{self.log}")

    def wait_for_log(self, text: str) -> None:
        """Poll until the log says something."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while text not in self.log:
            assert time.monotonic() < deadline, f"never told: {text}\n{self.log}"
            time.sleep(POLL_SECONDS)

    def processes(self) -> list[int]:
        """Process ids of the service and all that descends from it."""
        return descendants(self.process.pid)

    def kill(self) -> None:
        """As a power cut would: the main process alone, without a warning."""
        self.process.kill()
        self.process.wait()


def descendants(root: int) -> list[int]:
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            number, _, rest = stat.read_text().partition(" ")
            parents[int(number)] = int(rest.rpartition(")")[2].split()[1])
    found = [root]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def children_of(service: Service) -> list[int]:
    """Processes that have a model loaded, or are about to."""
    niceness = {pid: os.getpriority(os.PRIO_PROCESS, pid) for pid in service.processes() if alive(pid)}
    return [pid for pid, nice in niceness.items() if nice == 10]


def alive(pid: int) -> bool:
    """Whether a process runs; one that is dead and only not yet waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until_dead(pids: Sequence[int], seconds: float) -> list[int]:
    """Poll until none of the processes lives; those that still do after `seconds`."""
    deadline = time.monotonic() + seconds
    while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    return [pid for pid in pids if alive(pid)]


@contextlib.contextmanager
def running(data_dir: Path, command: Sequence[str] | None = None, **settings: str) -> Iterator[Service]:
    """Start the service with settings (lease_seconds="30" is QUEUE_LEASE_SECONDS=30); end it at exit."""
    port = free_port()
    data_dir.mkdir(parents=True, exist_ok=True)
    log = data_dir / f"service-{port}.log"
    environment = {
        **os.environ,
        "QUEUE_DATA_DIR": str(data_dir),
        "QUEUE_DEFAULT_MODEL": "u2netp",
        **{f"QUEUE_{name.upper()}": value for name, value in settings.items()},
    }
    command = command or [sys.executable, "-m", "uvicorn", "app:app", "--host", "127.0.0.1", "--port", "{port}"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [word.replace("{port}", str(port)) for word in command],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    service = Service(process, port, data_dir, log)
    try:
        yield service
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
