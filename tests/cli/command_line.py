"""Runs queue_example.py as a user does."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.service import ROOT

PROGRAM = [sys.executable, str(ROOT / "queue_example.py")]
PATIENCE_SECONDS = 60


@dataclass(frozen=True)
class CommandLine:
    """The command line set up for the service at a URL."""

    url: str

    def environment(self, **more: str) -> dict[str, str]:
        plain = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR", "QUEUE_API_TOKEN")}
        return {**plain, "QUEUE_URL": self.url, "TERM": "xterm-256color", **more}

    def __call__(
        self,
        *arguments: str | Path,
        cwd: Path | None = None,
        before: Callable[[], object] | None = None,
        **environment: str,
    ) -> "subprocess.CompletedProcess[str]":
        """Run to the end; `before` runs in the new process first."""
        done = subprocess.run(
            [*PROGRAM, *map(str, arguments)],
            cwd=cwd,
            env=self.environment(**environment),
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            preexec_fn=before,
        )
        assert "Traceback" not in done.stderr
        return done

    def json(self, *arguments: str | Path) -> Any:
        """The one document of a successful command, which says nothing else."""
        done = self(*arguments, "--json")
        assert (done.returncode, done.stderr) == (0, "")
        return json.loads(done.stdout)
