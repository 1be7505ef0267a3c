"""What a terminal sees: colour and a bar; nothing of it with NO_COLOR."""

import os
import pty
import subprocess

import pytest

from tests.cli.command_line import PROGRAM, CommandLine
from tests.cli.test_submit import CAT


def on_a_terminal(cli: CommandLine, *arguments: str, **environment: str) -> tuple[int, str]:
    """Exit code and everything that a terminal is told."""
    ours, theirs = pty.openpty()
    command = [*PROGRAM, *arguments]
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, env=cli.environment(**environment)) as process:
        os.close(theirs)
        told = b""
        try:
            while piece := os.read(ours, 65536):
                told += piece
        except OSError:
            pass  # Linux says so when the other end has closed
        os.close(ours)
    return process.returncode, told.decode()


def test_colour_and_bars(cli: CommandLine) -> None:
    code, told = on_a_terminal(cli, "submit", str(CAT), "--wait")
    assert code == 0
    assert "Sending" in told
    assert "Working" in told
    assert "\x1b[32m" in told
    assert told.rstrip().endswith("\x1b[2K"), "the bar goes when all is done"
    assert told.count("\x1b[?25l") == told.count("\x1b[?25h"), "the cursor comes back"


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
def test_plain_on_wish(cli: CommandLine, environment: dict[str, str]) -> None:
    code, told = on_a_terminal(cli, "submit", str(CAT), "--wait", **environment)
    assert code == 0
    assert "completed   1 of 1 done" in told
    assert "\x1b" not in told


def test_json_stays_json_on_a_terminal(cli: CommandLine) -> None:
    _, told = on_a_terminal(cli, "stats", "--json")
    assert told.startswith('{"stats": ')
    assert "\x1b" not in told


def test_a_reader_that_leaves_early(cli: CommandLine) -> None:
    command = subprocess.list2cmdline([*PROGRAM, "models", "--json"])
    done = subprocess.run(
        ["bash", "-c", f"{command} | true; exit ${{PIPESTATUS[0]}}"],
        env=cli.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
