"""Every command but submit: for people, for programs, and its exit code."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from tests.cli.command_line import PROGRAM, CommandLine
from tests.cli.test_submit import CAT, damaged, files_below
from tests.service import ROOT, Service, running

UNKNOWN = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def finished(service: Service) -> str:
    """A completed job of two pictures of the same name."""
    job_id = service.submit([("cat.jpg", CAT.read_bytes())] * 2)
    service.wait_for(job_id)
    return job_id


@pytest.fixture
def half_failed(service: Service, tmp_path: Path) -> str:
    bad = damaged(tmp_path / "bad.jpg").read_bytes()
    job_id = service.submit([("bad.jpg", bad), ("cat.jpg", CAT.read_bytes())])
    service.wait_for(job_id)
    return job_id


@pytest.fixture
def waiting(service: Service, paused: None) -> str:
    return service.submit([("cat.jpg", CAT.read_bytes())])


def test_status(cli: CommandLine, service: Service, finished: str) -> None:
    done = cli("status", finished)
    assert done.returncode == 0
    assert done.stdout.startswith(f"{finished}  completed   2 of 2 done")
    assert cli.json("status", finished) == service.job(finished)


def test_status_tells_of_failed_files(cli: CommandLine, half_failed: str) -> None:
    done = cli("status", half_failed)
    assert "completed   1 of 2 done, 1 failed" in done.stdout
    assert done.stderr.startswith("bad.jpg: ")


@pytest.mark.parametrize("command", ["status", "monitor", "cancel", "retry", "download"])
def test_an_unknown_job(cli: CommandLine, command: str) -> None:
    for unknown in (UNKNOWN, "../../models?x#"):
        done = cli(command, unknown)
        assert (done.returncode, done.stdout) == (1, "")
        assert len(done.stderr.splitlines()) == 1


def test_monitor_in_a_pipe(cli: CommandLine, service: Service) -> None:
    jobs = [service.submit([("cat.jpg", CAT.read_bytes())]) for _ in range(2)]
    done = cli("monitor", *jobs)
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert {line.split()[0] for line in lines} == set(jobs)
    assert sum("completed   1 of 1 done" in line for line in lines) == 2
    assert len(lines) == len(set(lines)), "a line only when something changed"


def test_monitor_as_a_stream(cli: CommandLine, service: Service) -> None:
    job_id = service.submit([("cat.jpg", CAT.read_bytes())] * 2)
    done = cli("monitor", job_id, "--json")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0
    assert events[-1] == service.job(job_id)
    assert {event["id"] for event in events} == {job_id}


def test_monitor_fails_when_a_file_did(cli: CommandLine, half_failed: str) -> None:
    done = cli("monitor", half_failed)
    assert done.returncode == 1
    assert done.stderr.startswith("bad.jpg: ")


def test_list(cli: CommandLine, service: Service, finished: str, waiting: str) -> None:
    assert cli("list").stdout.startswith(waiting)
    assert cli("list", "--limit", "1").stdout.count("\n") == 1
    pending = cli.json("list", "--status", "pending")
    assert waiting in [job["id"] for job in pending["jobs"]]
    assert {job["status"] for job in pending["jobs"]} == {"pending"}
    assert finished in cli("list", "--status", "completed", "--all").stdout
    assert cli("list", "--status", "none").returncode == 2
    assert cli("list", "--limit", "0").returncode == 1


def test_list_all_follows_the_pages(cli: CommandLine, service: Service, paused: None) -> None:
    jobs = [service.submit([("cat.jpg", CAT.read_bytes())]) for _ in range(101)]
    document = cli.json("list", "--all")
    listed = {job["id"] for job in document["jobs"]}
    assert len(listed) == document["total"]
    assert listed >= set(jobs)
    for job_id in jobs:
        requests.post(f"{service.url}/queue/job/{job_id}/cancel", timeout=10).raise_for_status()


def test_stats(cli: CommandLine, service: Service, finished: str) -> None:
    while not (document := cli.json("stats"))["worker"]["ready"]:
        pass
    assert document["stats"]["total"] == requests.get(f"{service.url}/queue/stats", timeout=10).json()["stats"]["total"]
    lines = dict(line.rsplit(maxsplit=1) for line in cli("stats").stdout.splitlines())
    assert lines["total"] == str(document["stats"]["total"])
    assert lines["worker max_concurrent"] == str(document["worker"]["max_concurrent"])
    assert (lines["worker ready"], lines["worker warm_models"], lines["worker trouble"]) == ("yes", "u2netp", "none")


def test_cancel(cli: CommandLine, service: Service, finished: str, waiting: str) -> None:
    assert cli("cancel", waiting).stdout == "Job cancelled successfully\n"
    assert service.job(waiting)["status"] == "cancelled"
    for command in (["cancel", finished], ["cancel", finished, "--force"]):
        done = cli(*command)
        assert (done.returncode, done.stdout) == (1, "")
        assert "completed" in done.stderr


def test_cancel_a_running_job_by_force(cli: CommandLine, service: Service) -> None:
    job_id = service.submit([("cat.jpg", CAT.read_bytes())] * 5)
    while service.job(job_id)["status"] == "pending":
        pass
    assert cli("cancel", job_id).returncode == 1
    assert cli.json("cancel", job_id, "--force")["status"] == "cancelled"
    assert service.wait_for(job_id)["status"] == "cancelled"


def test_retry(cli: CommandLine, service: Service, half_failed: str, finished: str) -> None:
    before = service.job(half_failed)
    assert cli("retry", half_failed).stdout == "The failed files are queued again\n"
    after = service.wait_for(half_failed)
    assert str(after["completed_at"]) > str(before["completed_at"])
    assert cli.json("retry", half_failed)["job_id"] == half_failed
    done = cli("retry", finished)
    assert (done.returncode, done.stdout) == (1, "")
    assert "none of its files failed" in done.stderr


def test_download(cli: CommandLine, finished: str, tmp_path: Path) -> None:
    done = cli("download", finished, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert files_below(tmp_path) == ["cat (2).png", "cat.png"]
    document = cli.json("download", finished, "--out", tmp_path / "new" / "folder")
    assert document["saved"] == [str(tmp_path / "new" / "folder" / name) for name in ("cat.png", "cat (2).png")]


def test_download_what_there_is(cli: CommandLine, half_failed: str, tmp_path: Path) -> None:
    done = cli("download", half_failed, "--out", tmp_path / "out")
    assert done.returncode == 1
    assert files_below(tmp_path / "out") == ["cat.png"]
    assert done.stderr.startswith("bad.jpg: ")


def test_download_too_early(cli: CommandLine, waiting: str) -> None:
    done = cli("download", waiting)
    assert (done.returncode, done.stderr) == (1, f"Job {waiting} has no results: it is pending.\n")


def test_models(cli: CommandLine) -> None:
    listed = {model["name"]: model["installed"] for model in cli.json("models")["models"]}
    assert listed["u2netp"] is True
    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in cli("models").stdout.splitlines()}
    assert list(rows) == list(listed)
    assert rows["u2netp"] == "Apache-2.0 commercial use: yes default, installed"
    assert rows["u2net_human_seg"].startswith("Apache-2.0 commercial use: yes")
    assert not rows["u2net_human_seg"].partition("yes ")[2].startswith("default")
    assert rows["bria-rmbg"].startswith("CC BY-NC 4.0 commercial use: no ")
    assert "commercial use: unknown not usable: " in rows["u2net_custom"]
    for model in cli.json("models")["models"]:
        assert model["usable"] or rows[model["name"]].endswith(model["reason"])


def test_options_stand_before_or_behind_the_command(cli: CommandLine) -> None:
    nowhere = CommandLine("http://127.0.0.1:1")
    assert nowhere("stats").returncode == 1
    assert nowhere("--url", cli.url + "/", "stats").returncode == 0
    assert nowhere("stats", "--url", cli.url.removeprefix("http://")).returncode == 0
    assert json.loads(cli("--json", "stats").stdout).keys() >= {"stats", "worker"}


def test_a_locked_door(tmp_path: Path) -> None:
    with running(tmp_path, api_token="open sesame") as service:
        service.wait_until("/health")
        locked = CommandLine(service.url)
        done = locked("stats")
        assert (done.returncode, done.stdout) == (1, "")
        assert "--token or QUEUE_API_TOKEN" in done.stderr
        assert locked("stats", "--token", "open barley").returncode == 1
        assert locked("stats", "--token", "open sesame").returncode == 0
        assert locked("stats", QUEUE_API_TOKEN="open sesame").returncode == 0


def test_help_and_misuse(cli: CommandLine) -> None:
    assert "--skip-invalid" in cli("submit", "--help").stdout
    assert cli().returncode == cli("sumbit").returncode == cli("status").returncode == 2


def test_any_working_directory_will_do(cli: CommandLine, tmp_path: Path) -> None:
    """Even one that has a folder of the same name as the program's own room."""
    (tmp_path / "cli").mkdir()
    (tmp_path / "cli" / "__init__.py").write_text("raise RuntimeError")
    for folder, program in ((ROOT, "queue_example.py"), (tmp_path, os.path.relpath(PROGRAM[-1], tmp_path))):
        command = [sys.executable, program, "--url", cli.url, "stats"]
        assert subprocess.run(command, cwd=folder, capture_output=True, check=True).stderr == b""


@pytest.mark.parametrize("out", ["", "file"])
def test_download_into_what_is_no_folder(cli: CommandLine, finished: str, tmp_path: Path, out: str) -> None:
    (tmp_path / "file").touch()
    done = cli("download", finished, "--out", out, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("--out ")
    assert done.stderr.endswith("name the folder to save the results in.\n")
    assert files_below(tmp_path) == ["file"]
