"""A disk of a few MiB for one service: a tmpfs that only processes started on it see, gone when it is closed."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.service import ROOT

OTHER_FILES = "other-files"
BLOCK = 4096


class SmallDisk:
    """`folder` is where its processes see it, `path` where everybody else does. `holder` keeps it alive."""

    def __init__(self, folder: Path, holder: int) -> None:
        self.folder = folder
        self.path = Path(f"/proc/{holder}/root{folder}")
        own = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        self._enter = ["nsenter", f"--target={holder}", *own, "--mount", f"--wd={ROOT}", "--"]

    @property
    def service_command(self) -> Sequence[str]:
        """For `running`: the web server, with this disk under its data directory."""
        return [
            *(*self._enter, sys.executable, "-m", "uvicorn", "app:app"),
            *("--host", "127.0.0.1", "--port", "{port}"),
        ]

    def run(self, *command: str) -> str:
        """Run a command on it, in the project's folder; what it printed."""
        return subprocess.run([*self._enter, *command], check=True, stdout=subprocess.PIPE, text=True).stdout

    def free_bytes(self) -> int:
        return shutil.disk_usage(self.path).free

    def fill(self, leave_bytes: int = 0) -> None:
        """Let another program write until no more than so much is free, or nothing fits any more."""
        with contextlib.suppress(OSError), (self.path / OTHER_FILES).open("ab", buffering=0) as other:
            while self.free_bytes() > leave_bytes:
                other.write(bytes(BLOCK))

    def clear(self) -> None:
        """The other program deletes what it wrote."""
        (self.path / OTHER_FILES).unlink()


@contextlib.contextmanager
def small_disk(folder: Path, mebibytes: int) -> Iterator[SmallDisk]:
    """Mount it over a folder in a mount namespace of its own; skip the test where that is not allowed."""
    folder.mkdir(parents=True)
    rights = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    mount = f'mount -t tmpfs -o size={mebibytes}m,mode=0777 tmpfs "$1" && echo mounted && exec cat'
    command = ["unshare", *rights, "--mount", "sh", "-c", mount, "sh", str(folder)]
    try:
        # It ends with its standard input, so also when this process dies.
        holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except FileNotFoundError:
        pytest.skip("unshare (util-linux) is not here, so a small disk cannot be made")
    with holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stderr is not None
        if holder.stdout.readline() != b"mounted\n":
            pytest.skip(f"a small disk cannot be mounted here: {holder.stderr.read().decode().strip()}")
        try:
            yield SmallDisk(folder, holder.pid)
        finally:
            holder.stdin.close()
