"""Set-up, container and service files agree with each other and with the code that they start."""

import json
import os
import re
import runpy
import shlex
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.utils import canonicalize_name

from settings import Settings
from tests.test_layers import CLIENT, PROJECT, ROW, SOURCES, imports, room

STOP_MARGIN_SECONDS = 5


def read(name: str) -> str:
    return (PROJECT / name).read_text("utf-8")


def instructions(keyword: str) -> list[str]:
    """Arguments of a Dockerfile's instructions of one kind, continued lines joined."""
    lines = re.sub(r"\\\n\s*", "", read("Dockerfile")).splitlines()
    return [line.removeprefix(keyword).strip() for line in lines if line.startswith(f"{keyword} ")]


def unit(name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", read("deploy/rembg-microservice.service"), re.MULTILINE)


def seconds_to_drain() -> float:
    return float(Settings.model_fields["drain_seconds"].default)


def loaded_gunicorn_settings(monkeypatch: pytest.MonkeyPatch, **environment: str) -> dict[str, object]:
    for name in ("PORT", "QUEUE_DRAIN_SECONDS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return runpy.run_path(str(PROJECT / "gunicorn.conf.py"))


def test_gunicorn_listens_where_clients_look(monkeypatch: pytest.MonkeyPatch) -> None:
    assert loaded_gunicorn_settings(monkeypatch)["bind"] == "0.0.0.0:5000"
    assert loaded_gunicorn_settings(monkeypatch, PORT="8000")["bind"] == "0.0.0.0:8000"


@pytest.mark.parametrize("drain_seconds", [0, 25, 300])
def test_gunicorn_waits_for_the_drain(monkeypatch: pytest.MonkeyPatch, drain_seconds: int) -> None:
    loaded = loaded_gunicorn_settings(monkeypatch, QUEUE_DRAIN_SECONDS=str(drain_seconds))
    assert min(int(str(loaded[name])) for name in ("graceful_timeout", "timeout")) > drain_seconds


def test_gunicorn_accepts_its_settings() -> None:
    checked = [sys.executable, "-m", "gunicorn", "--print-config", "wsgiref.simple_server:demo_app"]
    shown = subprocess.run(checked, cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    assert re.search(r"^worker_class += uvicorn\.workers\.UvicornWorker$", shown, re.MULTILINE)
    assert re.search(r"^preload_app += False$", shown, re.MULTILINE)


def test_the_image_holds_every_room_and_nothing_else() -> None:
    allowed = {line[1:] for line in read(".dockerignore").splitlines() if line.startswith("!")}
    shipped = ROW.keys() | {*CLIENT}
    rooms = {path.parts[0] for module, path in SOURCES.items() if room(module) in shipped and len(path.parts) > 1}
    assert read(".dockerignore").splitlines()[1] == "*"
    assert allowed == rooms | {"*.py", "requirements.txt", "deploy/entrypoint.sh"}


def test_the_image_copies_and_starts_what_exists() -> None:
    copied = [words for words in map(shlex.split, instructions("COPY")) if not words[0].startswith("--from")]
    started = [json.loads(command)[-1] for command in instructions("ENTRYPOINT") + instructions("CMD")]
    service = instructions("WORKDIR")[-1]
    for name in [name for words in copied for name in words[:-1]] + started:
        assert (PROJECT / Path(service, name).relative_to(service)).exists(), name
    assert os.access(PROJECT / "deploy/entrypoint.sh", os.X_OK)


def test_the_image_downloads_weights_with_what_it_copied_before() -> None:
    copied = {Path(name).stem for words in map(shlex.split, instructions("COPY")[:3]) for name in words[:-1]}
    needed = {room(name) for module in SOURCES if room(module) == "models" for name in imports(module)} & ROW.keys()
    assert needed <= copied


def test_the_container_runs_as_nobody_special() -> None:
    (user,) = instructions("USER")
    assert all(int(number) >= 1000 for number in user.split(":"))


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_the_health_check_tells_health(status: int, healthy: bool) -> None:
    class Service(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/health" else 404)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    (check,) = instructions("HEALTHCHECK")
    command = json.loads(check.partition(" CMD ")[2])
    with HTTPServer(("127.0.0.1", 0), Service) as server:
        threading.Thread(target=server.handle_request).start()
        environment = {**os.environ, "PORT": str(server.server_port)}
        result = subprocess.run([sys.executable, *command[1:]], env=environment, capture_output=True)
    assert (result.returncode == 0) == healthy


def test_the_entrypoint_becomes_its_command(tmp_path: Path) -> None:
    for name in ("image/index", "tmp/unrelated"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    script = read("deploy/entrypoint.sh").replace("/opt/rembg/numba", str(tmp_path / "image"))
    command = ["sh", "-c", script, "entrypoint", "sh", "-c", 'echo $$; ls "$NUMBA_CACHE_DIR"']
    with subprocess.Popen(
        command, env={**os.environ, "TMPDIR": str(tmp_path / "tmp")}, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.communicate()[0] == f"{process.pid}\nindex\n"


def test_compose_describes_the_same_container() -> None:
    service = yaml.safe_load(read("docker-compose.yml"))["services"]["rembg"]
    (volume,) = instructions("VOLUME")
    assert [entry.partition(":")[2] for entry in service["volumes"]] == [volume]
    assert [entry.rpartition(":")[2] for entry in service["ports"]] == instructions("EXPOSE")
    assert service["read_only"]
    assert int(service["stop_grace_period"].removesuffix("s")) >= seconds_to_drain() + STOP_MARGIN_SECONDS


def test_the_unit_starts_what_exists_and_waits_for_the_drain() -> None:
    (home,) = unit("WorkingDirectory")
    (command,) = unit("ExecStart")
    interpreter, script = command.split()
    assert interpreter == f"{home}/.venv/bin/python"
    assert (PROJECT / script).exists()
    assert unit("KillMode") == ["mixed"]
    assert int(unit("TimeoutStopSec")[0]) >= seconds_to_drain() + STOP_MARGIN_SECONDS


def test_nothing_reports_home() -> None:
    stages = read("Dockerfile").split("\nFROM ")[1:]
    for text in (*stages, read("deploy/rembg-microservice.service")):
        assert "ORT_DISABLE_TELEMETRY=1" in text
    assert "export ORT_DISABLE_TELEMETRY := 1" in read("Makefile")


def test_make_lists_every_target() -> None:
    (phony,) = re.findall(r"^\.PHONY: (.*)$", read("Makefile"), re.MULTILINE)
    shown = subprocess.run(["make"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    assert re.findall(r"^make (\w+) +\S", shown, re.MULTILINE) == phony.split()


def test_every_package_that_is_imported_is_asked_for() -> None:
    asked = {
        re.split(r"[\[>=]", line)[0]
        for name in ("requirements.in", "requirements-dev.in")
        for line in read(name).splitlines()
    }
    distributions = packages_distributions()
    roots = {name.partition(".")[0] for module in SOURCES for name in imports(module)}
    foreign = roots - sys.stdlib_module_names - {module.partition(".")[0] for module in SOURCES}
    wanting = {
        name for name in foreign if not {canonicalize_name(found) for found in distributions.get(name, [])} & asked
    }
    assert not wanting
