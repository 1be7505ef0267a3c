import contextlib
import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.models.file_server import PATIENCE_SECONDS, FileServer, held, whole

ROOT = Path(__file__).parents[2]
DATA = os.urandom(3_000_000)
SHA256 = hashlib.sha256(DATA).hexdigest()

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path, server: FileServer) -> Iterator[Start]:
    with contextlib.ExitStack() as started:

        def start_pulling(*more: str) -> "subprocess.Popen[str]":
            command = [sys.executable, "-m", "tests.models.pull_one", str(tmp_path), server.url("/tiny.onnx"), SHA256]
            process = started.enter_context(
                subprocess.Popen([*command, *more], cwd=ROOT, stdout=subprocess.PIPE, text=True)
            )
            started.callback(process.kill)
            return process

        yield start_pulling


def test_two_processes_download_once(server: FileServer, start: Start, tmp_path: Path) -> None:
    gate = threading.Event()
    server.answers["/tiny.onnx"] = held(DATA, gate)
    first = start()
    assert server.was_asked.wait(PATIENCE_SECONDS)
    second = start()
    assert second.stdout
    assert second.stdout.readline().startswith("progress")  # it waits, and tells how far the other one is
    gate.set()
    path = str(tmp_path / "models" / "tiny" / "tiny.onnx")
    for process in (first, second):
        output, _ = process.communicate(timeout=PATIENCE_SECONDS)
        assert output.splitlines()[-1] == path
    assert server.asked == ["/tiny.onnx"]
    assert Path(path).read_bytes() == DATA


def test_a_killed_download_is_started_again_from_nothing(server: FileServer, start: Start, tmp_path: Path) -> None:
    gate = threading.Event()
    server.answers["/tiny.onnx"] = held(DATA, gate)
    part = tmp_path / "models" / "tiny" / ".tiny.onnx.part"
    process = start()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (part.exists() and part.stat().st_size):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.wait()
    gate.set()
    assert part.exists()
    server.answers["/tiny.onnx"] = whole(DATA)
    output, _ = start().communicate(timeout=PATIENCE_SECONDS)
    path = Path(output.splitlines()[-1])
    assert path.read_bytes() == DATA
    assert sorted(entry.name for entry in path.parent.iterdir()) == [
        ".tiny.onnx.lock",
        "tiny.onnx",
        "tiny.onnx.checked",
    ]


def test_a_full_disk_is_named(server: FileServer, start: Start, tmp_path: Path) -> None:
    server.answers["/tiny.onnx"] = whole(DATA)
    output, _ = start("1000000").communicate(timeout=PATIENCE_SECONDS)
    path = tmp_path / "models" / "tiny" / "tiny.onnx"
    last = output.splitlines()[-1]
    assert last.startswith("WeightsUnavailable The weights of tiny could not be stored")
    assert f"Writing {path} failed: File too large" in last
    assert [entry.name for entry in path.parent.iterdir()] == [".tiny.onnx.lock"]
