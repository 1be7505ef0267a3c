"""Logs of a real process: one handler for everything, for people or for collectors."""

import json
import logging
import os
import re
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from errors import DatabaseError
from log_setup import Trouble

ROOT = Path(__file__).parents[1]
SPEAK = """
import logging, uvicorn, log_setup
from settings import Settings
uvicorn.Config("app:app")  # as on a real start, the server has set up its own logging before
log_setup.configure(Settings())
log_setup.configure(Settings())
ours = logging.getLogger("queue_manager")
ours.debug("a detail")
ours.info("job %s queued\\nby ünïcode 猫", 7)
logging.getLogger("uvicorn.access").warning("from the server")
logging.getLogger("alembic.runtime").info("table by table")
try:
    1 / 0
except ZeroDivisionError:
    ours.exception("it broke")
"""
SERVE = """
import sys, uvicorn, log_setup
from settings import Settings
log_setup.configure(Settings())
async def app(scope, receive, send): ...
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_config=None, lifespan="off")
"""


def logged(script: str, *arguments: str, **settings: str) -> tuple[int, str]:
    """Exit code and what a process wrote to its standard error; nothing else may be written."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("QUEUE_")} | settings
    ran = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=30,
    )
    assert ran.stdout == ""
    return ran.returncode, ran.stderr


def test_text_lines_tell_when_how_bad_who_and_what() -> None:
    _, written = logged(SPEAK)
    assert re.search(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO queue_manager: job 7 queued$", written, re.MULTILINE)
    assert "ZeroDivisionError" in written


def test_each_message_is_written_once_also_the_server_s() -> None:
    _, written = logged(SPEAK)
    assert [written.count(words) for words in ("job 7 queued", "from the server", "it broke")] == [1, 1, 1]


def test_json_is_one_object_a_line_whatever_the_message() -> None:
    _, written = logged(SPEAK, QUEUE_LOG_FORMAT="json")
    first, second, third = (json.loads(line) for line in written.splitlines())
    assert first["message"] == "job 7 queued\nby ünïcode 猫"
    assert (first["level"], first["logger"]) == ("INFO", "queue_manager")
    assert abs(datetime.now(UTC) - datetime.fromisoformat(first["time"])) < timedelta(minutes=5)
    assert "exception" not in first
    assert (second["level"], second["logger"], second["message"]) == ("WARNING", "uvicorn.access", "from the server")
    assert third["exception"].endswith("ZeroDivisionError: division by zero")


def test_the_level_is_a_setting_and_migrations_stay_silent() -> None:
    for level, heard in (("DEBUG", ["a detail", "job 7", "from the server"]), ("WARNING", ["from the server"])):
        _, written = logged(SPEAK, QUEUE_LOG_LEVEL=level)
        found = [words for words in ("a detail", "job 7", "from the server", "table by table") if words in written]
        assert found == heard


def test_a_port_that_is_taken_is_explained() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, written = logged(SERVE, f"{taken.getsockname()[1]}")
    assert code != 0
    assert "already in use" in written
    assert "PORT=" in written
    assert "AirPlay" in written


def test_trouble_that_goes_on_is_told_once_and_its_end_too(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    trouble = Trouble(logging.getLogger("here"), "claiming")
    trouble.over()
    for reason in ("locked", "locked", "full", "full"):
        trouble.note(DatabaseError(reason))
    trouble.over()
    trouble.over()
    trouble.note(ZeroDivisionError("a defect"))
    assert caplog.messages == [
        "claiming has trouble and is tried again: locked",
        "claiming has trouble and is tried again: full",
        "claiming works again",
        "claiming has trouble and is tried again: a defect",
    ]
    assert [record.exc_info is not None for record in caplog.records] == [False, False, False, True]
