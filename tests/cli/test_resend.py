"""The connection breaks while a job is sent: it is sent again, and still queued once."""

import json
from pathlib import Path

import pytest
import requests

from tests.cli.command_line import CommandLine
from tests.cli.stand_in import LIMITS, QUEUED, Request, serving
from tests.cli.test_submit import CAT, sparse
from tests.service import Service

IN_PROGRESS = {"detail": "A request with this Idempotency-Key is still being stored.", "code": "submit_in_progress"}
AGAIN = "The connection was lost: sending this job again in {} s."


@pytest.mark.usefixtures("paused")
def test_an_answer_that_was_lost_makes_no_second_job(service: Service, cli: CommandLine) -> None:
    """The service stores the job, and the network eats what it answers."""
    total = cli.json("list")["total"]
    answers: list[requests.Response] = []

    def pass_on(request: Request) -> None:
        if request.command == "GET":
            request.answer(200, requests.get(service.url + request.path, timeout=10).json())
            return
        headers = {name: value for name, value in request.headers.items() if name != "Host"}
        answers.append(requests.post(service.url + request.path, data=request.body(), headers=headers, timeout=10))
        if len(answers) == 1:
            request.connection.close()
        else:
            request.answer(answers[-1].status_code, answers[-1].json())

    with serving(pass_on) as unlucky:
        done = unlucky("submit", CAT, "--priority", "high", "--json")
    assert (done.returncode, done.stderr) == (0, AGAIN.format(1) + "\n")
    (job,) = json.loads(done.stdout)["jobs"]
    assert (job["job_id"], job["priority"]) == (answers[0].json()["job_id"], "high")
    assert [answer.headers.get("Idempotent-Replayed") for answer in answers] == [None, "true"]
    assert cli.json("list")["total"] == total + 1


def test_after_three_tries_it_gives_up(tmp_path: Path) -> None:
    large = sparse(tmp_path / "large.jpg", 64 * 2**20)
    keys: list[str] = []

    def handle(request: Request) -> None:
        if request.command == "GET":
            request.answer(200, LIMITS)
            return
        keys.append(request.headers["Idempotency-Key"])
        if len(keys) == 1:
            request.body()
            request.answer(202, QUEUED)
        else:
            request.rfile.read(100_000)
            request.connection.close()

    with serving(handle) as cli:
        done = cli("submit", *[CAT] * 5, large, "--json")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        AGAIN.format(1),
        AGAIN.format(4),
        "Jobs that go on without this program: 1",
        f"The connection to {cli.url} was lost. What was queued goes on: see `list`.",
    ]
    assert [job["job_id"] for job in json.loads(done.stdout)["jobs"]] == ["1"]
    assert len(keys) == 4
    assert len(set(keys)) == 2, "one key a job, the same for every try"


def test_an_earlier_try_that_is_still_being_stored_is_waited_for() -> None:
    uploads = 0

    def handle(request: Request) -> None:
        nonlocal uploads
        if request.command == "GET":
            request.answer(200, LIMITS)
            return
        request.body()
        uploads += 1
        request.answer(409, IN_PROGRESS, Retry_After="0") if uploads < 3 else request.answer(202, QUEUED)

    with serving(handle) as cli:
        done = cli("submit", CAT)
    assert (done.returncode, uploads) == (0, 3)


def test_any_other_conflict_is_told_at_once() -> None:
    with serving(lambda request: request.answer(409, {"detail": "It is completed.", "code": "x"})) as cli:
        done = cli("cancel", "1")
    assert (done.returncode, done.stderr) == (1, "It is completed.\n")
