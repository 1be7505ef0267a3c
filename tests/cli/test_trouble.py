"""Services that are away, busy, broken or something else: one line on stderr, and never a traceback."""

import resource
from pathlib import Path

import pytest

from tests.cli.command_line import CommandLine
from tests.cli.stand_in import ENTRY, JOB, LIMITS, QUEUED, Request, serving
from tests.cli.test_submit import CAT, files_below, sparse
from tests.service import Service


@pytest.mark.parametrize("command", [["stats"], ["submit", str(CAT)], ["status", "1"], ["list", "--json"]], ids=str)
def test_no_service(command: list[str]) -> None:
    done = CommandLine("http://127.0.0.1:1")(*command)
    assert (done.returncode, done.stdout) == (1, "")
    assert "http://127.0.0.1:1" in done.stderr
    assert "`make run`" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_busy_service_is_waited_for() -> None:
    bodies: list[bytes] = []

    def handle(request: Request) -> None:
        if request.command == "GET":
            request.answer(200, LIMITS)
            return
        bodies.append(request.body())
        busy = {"detail": "Too many.", "code": "busy"}
        request.answer(429, busy, Retry_After="0") if len(bodies) < 3 else request.answer(202, QUEUED)

    with serving(handle) as cli:
        done = cli("submit", CAT)
    assert done.returncode == 0
    assert len(bodies) == 3
    assert all(CAT.read_bytes() in body for body in bodies)
    assert done.stderr == "The service is busy: trying again in 0 s.\n" * 2


def test_patience_has_an_end() -> None:
    with serving(lambda request: request.answer(429, b"", Retry_After="86400")) as cli:
        done = cli("stats")
    assert done.returncode == 1
    assert done.stderr == f"{cli.url} is busy and asks to come back in 86400 s. Try again later.\n"


def test_lost_during_a_download(tmp_path: Path) -> None:
    def handle(request: Request) -> None:
        if request.path.endswith("/result/0"):
            request.answer(200, b"half of it", Content_Length="20")
        else:
            request.answer(200, JOB)

    with serving(handle) as cli:
        done = cli("download", "1", cwd=tmp_path)
    assert done.returncode == 1
    assert "was lost" in done.stderr
    assert files_below(tmp_path) == []


@pytest.mark.parametrize(
    ("status", "content"),
    [(200, b"<html>Welcome"), (200, b'{"some": "other service"}'), (200, b"[]"), (502, b"<html>Bad"), (301, b"")],
)
def test_another_service(status: int, content: bytes) -> None:
    with serving(lambda request: request.answer(status, content, Location="https://elsewhere.example/")) as cli:
        for command in (["stats"], ["submit", str(CAT)]):
            done = cli(*command)
            assert (done.returncode, done.stdout) == (1, "")
            assert done.stderr == f"{cli.url} is not this service: it gave status {status}.\n"


@pytest.mark.parametrize(
    "url",
    [
        "http://",
        "https:///path",
        "ftp://127.0.0.1/",
        "http://127.0.0.1:99999",
        "http://127.0.0.1:port",
        "http://[::1",
        "http://a..b",
        f"http://{'a' * 64}.example",
        "http://*.example",
        "http://my host",
        "127.0.0.1:5000 ",
        "http://127.0.0.1:5000/?a=b",
    ],
)
def test_an_address_that_is_none(url: str) -> None:
    done = CommandLine("http://127.0.0.1:1")("stats", "--url", url)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f'"{url}" is no address of a service: --url wants one like http://127.0.0.1:5000.\n'


def test_a_service_without_https() -> None:
    with serving(lambda request: request.answer(200, b"")) as cli:
        url = cli.url.replace("http:", "https:")
        done = cli("submit", CAT, "--url", url)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"{url} gives no secure connection: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("token", ["日本", "ключ", " secret", "two\nlines", "\udce4"])
def test_a_token_that_cannot_be_sent(token: str) -> None:
    done = CommandLine("http://127.0.0.1:1")("stats", "--token", token)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("The token of --token or QUEUE_API_TOKEN has characters that cannot be sent: ")
    assert len(done.stderr.splitlines()) == 1


def test_a_file_above_the_limit_of_one_file_is_not_sent(tmp_path: Path) -> None:
    large, bad = sparse(tmp_path / "large.jpg", 10**8 + 1), sparse(tmp_path / "bad.jpg", 1)
    refused = QUEUED | {"rejected": [{"index": 0, "filename": "bad.jpg", "code": "x", "reason": "No picture."}]}
    bodies: list[bytes] = []

    def handle(request: Request) -> None:
        if request.command == "POST":
            bodies.append(request.body())
        request.answer(200, LIMITS | refused)

    with serving(handle) as cli:
        whole, rest = cli("submit", large, bad, CAT), cli("submit", large, bad, CAT, "--skip-invalid")
    assert (whole.returncode, rest.returncode) == (1, 0)
    told = f"{large}: The file is larger than the 95.37 MiB that one may have."
    assert whole.stderr.splitlines() == ["A job of 3 was not queued: --skip-invalid queues the good ones.", told]
    assert rest.stderr.splitlines() == [told, f"{bad}: No picture."]
    assert [b"large.jpg" in body for body in bodies] == [False]


def test_only_jobs_that_have_not_ended_go_on() -> None:
    jobs = iter([QUEUED, QUEUED | {"job_id": "2"}])

    def handle(request: Request) -> None:
        if request.command == "POST":
            request.body()
            request.answer(202, next(jobs))
        elif request.path.endswith("/job/2"):
            request.connection.close()
        else:
            request.answer(200, LIMITS | JOB)

    with serving(handle) as cli:
        done = cli("submit", *[CAT] * 6, "--wait")
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == "Jobs that go on without this program: 2"


def test_nothing_goes_on_when_all_have_ended(tmp_path: Path) -> None:
    def handle(request: Request) -> None:
        if request.path.endswith("/result/0"):
            request.connection.close()
            return
        request.body()
        request.answer(200, LIMITS | QUEUED | JOB)

    with serving(handle) as cli:
        done = cli("submit", CAT, "--out", tmp_path)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "was lost" in done.stderr


def test_words_of_a_service_cannot_play_with_the_terminal() -> None:
    problem = {"detail": "\x1b[2JGone.\r\u202e", "code": "\x07"}
    with serving(lambda request: request.answer(404, problem)) as cli:
        assert cli("status", "1").stderr == r"\x1b[2JGone.\r\u202e" + "\n"


def test_names_of_a_service_stay_in_the_folder(tmp_path: Path) -> None:
    job = JOB | {"results": [ENTRY | {"filename": name} for name in ("../../up.jpg", "/etc/passwd", "..", "")]}
    out = tmp_path / "a" / "b" / "c"
    with serving(lambda request: request.answer(200, b"png" if "/result/" in request.path else job)) as cli:
        assert cli("download", "1", "--out", out).returncode == 0
    assert files_below(tmp_path) == sorted(f"a/b/c/{path.name}" for path in out.iterdir())
    assert len(files_below(out)) == 4


def test_no_room_for_a_result(cli: CommandLine, service: Service, tmp_path: Path) -> None:
    job_id = service.submit([("cat.jpg", CAT.read_bytes())])
    service.wait_for(job_id)

    def almost_full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))

    done = cli("download", job_id, cwd=tmp_path, before=almost_full)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "cat.png: Cannot be saved: File too large.\n"
    assert files_below(tmp_path) == []
