"""Who is measured: the model alone, a loop over rembg.remove, rembg's own server, and this service."""

import http.client
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from bench.throughput import (
    PROJECT,
    START_SECONDS,
    Contender,
    Ended,
    answers,
    free_port,
    is_ready,
    process_times,
    tree_seconds,
    wait_until,
)
from bench.workers import Work, load_model, load_rembg, pool, work
from models import catalog
from models.weights import open_store

CORES = os.cpu_count() or 1
# As many as a user needs to keep a server busy that works on one photo a core.
CLIENTS = max(2, CORES)
# Seldom, because each look costs the service a little; when a job ended it says itself.
LOOK_SECONDS = 1.0
STOP_SECONDS = 40.0
SERVER_REQUIREMENTS = PROJECT / "bench" / "rembg_server.txt"
SERVER_ENVIRONMENT = PROJECT / ".bench" / "rembg_server"


@contextmanager
def limit(model: str) -> Iterator[Contender]:
    """One process per core, each with the model on one thread."""
    (weights,) = open_store(os.environ).locate(catalog.find(model))
    with _workers(CORES, load_model, weights, PROJECT / "docs" / "samples" / "cat.jpg") as contender:
        yield contender


@contextmanager
def rembg_loop(model: str, threads: int) -> Iterator[Contender]:
    """One process per core over rembg.remove, each on so many threads; 0: as many as ONNX Runtime thinks good."""
    with _workers(CORES, load_rembg, model, threads) as contender:
        yield contender


@contextmanager
def _workers(processes: int, load: Callable[..., Work], *arguments: object) -> Iterator[Contender]:
    with pool(processes, load, *arguments) as executor:

        def cpu_seconds() -> Mapping[str, float]:
            return {"all": tree_seconds([process.pid or 0 for process in multiprocessing.active_children()])}

        yield Contender(lambda paths: _told(list(executor.map(work, paths))), cpu_seconds)


def _told(sizes: Sequence[int]) -> Callable[[], Ended]:
    ended = Ended(time.time(), sum(sizes))
    return lambda: ended


# --- servers ----------------------------------------------------------------------------------------------------


@contextmanager
def rembg_server(model: str, threads: int) -> Iterator[Contender]:
    """`rembg s`, asked by a few clients at once; 0 threads: as it comes."""
    port = free_port()
    script = prepared_server() / "rembg"
    command = [str(script), "s", "--host", "127.0.0.1", "--port", str(port), "--log_level", "warning", "--no-ui"]
    # It opens a browser as soon as it serves.
    environment = {**os.environ, "BROWSER": "true"} | ({"OMP_NUM_THREADS": str(threads)} if threads else {})
    with _process(command, environment) as pid:
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/openapi.json"), START_SECONDS)

        def remove(photo: Path) -> int:
            return len(_post(port, "/api/remove", "file", photo, {"model": model}))

        def remove_all(paths: Sequence[Path]) -> Callable[[], Ended]:
            with ThreadPoolExecutor(CLIENTS) as clients:
                return _told(list(clients.map(remove, paths)))

        yield Contender(remove_all, lambda: {"all": tree_seconds([pid])})


def prepared_server() -> Path:
    """The folder of programs of a virtual environment that has rembg's server, made when it is not there yet.

    It needs one of its own, because it wants an older FastAPI and an older Pillow than this service.
    """
    programs = SERVER_ENVIRONMENT / "bin"
    stamp = SERVER_ENVIRONMENT / "installed.txt"
    wanted = SERVER_REQUIREMENTS.read_text()
    if not stamp.exists() or stamp.read_text() != wanted:
        print("Installing rembg's own server (830 MB), once.", flush=True)
        shutil.rmtree(SERVER_ENVIRONMENT, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", SERVER_ENVIRONMENT], check=True)
        install = ("-m", "pip", "install", "--quiet", "--requirement", SERVER_REQUIREMENTS)
        subprocess.run([programs / "python", *install], check=True)
        # Compiles numba code for about a minute, which no measurement should see.
        subprocess.run([programs / "python", "-c", "import rembg"], check=True)
        stamp.write_text(wanted)
    return programs


@dataclass(frozen=True)
class Service:
    """This service as `make run` starts it: no setting but where it listens and keeps its data."""

    pid: int
    port: int
    model: str

    def submit(self, photo: Path) -> str:
        """One job of one file; its id."""
        body = _post(self.port, f"/queue/submit?model={self.model}", "images", photo, {})
        job_id: str = json.loads(body)["job_id"]
        return job_id

    def submit_all(self, paths: Sequence[Path]) -> list[str]:
        with ThreadPoolExecutor(CLIENTS) as clients:
            return list(clients.map(self.submit, paths))

    def wait_until_idle(self) -> None:
        while any(self._get("/queue/stats")["stats"][state] for state in ("pending", "processing")):
            time.sleep(LOOK_SECONDS)

    def ended(self, job_ids: Sequence[str]) -> Ended:
        jobs = [self._get(f"/queue/job/{job_id}") for job_id in job_ids]
        if faults := [job["error"] for job in jobs if job["status"] != "completed"]:
            sys.exit(f"{len(faults)} of {len(jobs)} photos failed: {faults[0]}")
        return Ended(
            at=max(datetime.fromisoformat(job["completed_at"]).timestamp() for job in jobs),
            output_bytes=sum(job["results"][0]["bytes"] for job in jobs),
        )

    def cpu_seconds(self) -> Mapping[str, float]:
        """Of the process that answers HTTP and runs the queue, and of those that work on pictures."""
        own = process_times()[self.pid].own
        return {"service process": own, "children": tree_seconds([self.pid]) - own}

    def act(self, path: str) -> None:
        _request(self.port, "POST", path)

    def _get(self, path: str) -> Any:
        return json.loads(_request(self.port, "GET", path))


@contextmanager
def running_service(model: str) -> Iterator[Service]:
    port = free_port()
    of_the_user = {name: value for name, value in os.environ.items() if not name.startswith("QUEUE_")}
    with tempfile.TemporaryDirectory() as data_dir:
        settings = {"HOST": "127.0.0.1", "PORT": str(port), "DATA_DIR": data_dir}
        with _process([sys.executable, "app.py"], of_the_user | settings) as pid:
            wait_until(lambda: is_ready(f"http://127.0.0.1:{port}"), START_SECONDS)
            yield Service(pid, port, model)


@contextmanager
def service(model: str) -> Iterator[Contender]:
    """Jobs of one photo each, until the last result is stored."""
    with running_service(model) as running:

        def cut_out_all(paths: Sequence[Path]) -> Callable[[], Ended]:
            job_ids = running.submit_all(paths)
            running.wait_until_idle()
            return partial(running.ended, job_ids)

        yield Contender(cut_out_all, running.cpu_seconds)


@contextmanager
def _process(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[int]:
    """A server for as long as it is measured; what it printed is shown when it fails."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=output, stderr=subprocess.STDOUT)
        try:
            yield process.pid
        except (Exception, SystemExit):
            output.seek(0)
            sys.stderr.write(output.read().decode(errors="replace"))
            raise
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _post(port: int, path: str, field: str, photo: Path, more: Mapping[str, str]) -> bytes:
    """A form with a photo. By hand: libraries for HTTP would cost more than some of what is measured."""
    boundary = uuid.uuid4().hex
    disposition = f"--{boundary}\r\nContent-Disposition: form-data; name="
    fields = "".join(f'{disposition}"{name}"\r\n\r\n{value}\r\n' for name, value in more.items())
    head = f'{fields}{disposition}"{field}"; filename="{photo.name}"\r\nContent-Type: image/jpeg\r\n\r\n'
    body = b"".join((head.encode(), photo.read_bytes(), f"\r\n--{boundary}--\r\n".encode()))
    return _request(port, "POST", path, body, {"Content-Type": f"multipart/form-data; boundary={boundary}"})


def _request(port: int, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        data = answer.read()
    finally:
        connection.close()
    if answer.status >= 400:
        sys.exit(f"{method} {path} was answered with {answer.status}: {data[:500].decode(errors='replace')}")
    return data
