"""The examples in README.md and docs/, run as a reader would run them, against a real service.

Blocks marked sh, python or js are run unless `no-run` follows, with the reason in the text. The shell blocks of a page
run in one shell, in order; a Python or JavaScript block is a program by itself.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.service import Service, running
from tests.test_docs import PAGES, page
from tests.test_layers import PROJECT

TAUGHT = [path for path in PAGES if path.parts[0] in ("README.md", "docs")]
SUFFIXES = {"sh": ".sh", "python": ".py", "js": ".mjs"}
LANGUAGES = {"sh", "python", "js", "json", "text", "mermaid", "nginx"}
MADE_BY_RUNNING = {"queue.db", "data", "out", "backup", "scratch"}
OLDEST_NODE = 18
PATIENCE_SECONDS = 120


@dataclass(frozen=True)
class Block:
    """Fenced text of a page: what its fence says, and the line where it begins."""

    path: Path
    line: int
    mark: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


def blocks(path: Path) -> list[Block]:
    text = page(str(path))
    fenced = re.finditer(r"^```(.*)\n([\s\S]*?)^```$", text, re.MULTILINE)
    return [Block(path, text.count("\n", 0, block.start()) + 1, block[1], block[2]) for block in fenced]


def examples() -> Iterator[Block]:
    """What is to be run, the shell blocks of a page as one."""
    for path in TAUGHT:
        shell = [block for block in blocks(path) if block.mark == "sh"]
        if shell:
            yield replace(shell[0], text="\n".join(block.text for block in shell))
        yield from (block for block in blocks(path) if block.mark in ("python", "js"))


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service whose working directory looks like the project's to a reader, and is not."""
    folder = tmp_path_factory.mktemp("project")
    for entry in PROJECT.iterdir():
        if not entry.name.startswith((".", "queue.db")) and entry.name not in MADE_BY_RUNNING:
            (folder / entry.name).symlink_to(entry)
    (folder / ".venv").symlink_to(sys.prefix)
    with running(folder) as started:
        started.wait_until("/ready")
        yield started


def command_for(example: Block, script: Path) -> list[str]:
    if example.mark == "python":
        return [sys.executable, str(script)]
    if example.mark == "sh":
        return ["bash", "-euxo", "pipefail", str(script)]
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs Node.js, which is not installed")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.lstrip("v").partition(".")[0]) < OLDEST_NODE:
        pytest.skip(f"needs Node.js {OLDEST_NODE} or newer, here is {version.strip()}")
    return [node, str(script)]


@pytest.mark.parametrize("example", [*examples()], ids=str)
def test_example_runs(example: Block, service: Service) -> None:
    text = example.text.replace("http://127.0.0.1:5000", service.url)
    script = service.data_dir / f"example{SUFFIXES[example.mark]}"
    script.write_text(text, "utf-8")
    environment = {
        **os.environ,
        "QUEUE_URL": service.url,
        "QUEUE_DATA_DIR": str(service.data_dir),
        "QUEUE_DEFAULT_MODEL": "u2netp",
        "PYTHONWARNINGS": "error",
    }
    ended = subprocess.run(
        command_for(example, script),
        cwd=service.data_dir,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert ended.returncode == 0, f"{text}\n{ended.stdout}\n{ended.stderr}"


@pytest.mark.parametrize("path", TAUGHT, ids=str)
def test_every_block_is_marked(path: Path) -> None:
    assert {block.mark.removesuffix(" no-run") for block in blocks(path)} <= LANGUAGES
