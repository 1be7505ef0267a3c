"""The command line hears of jobs that change, and asks where it hears nothing."""

import threading

import pytest

from cli import hearing
from cli.client import Client
from cli.hearing import Hearing
from cli.screen import Screen
from tests.cli.stand_in import Request, serving

JOBS = ["a", "b", "c"]


def client_of(url: str) -> Client:
    return Client(url, "", Screen(as_json=False))


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is asked again within a test."""
    monkeypatch.setattr(hearing, "QUIET_SECONDS", 60.0)
    monkeypatch.setattr(hearing, "pause_seconds", lambda jobs: 60.0)


def test_a_job_that_has_changed_is_asked_about_at_once(patient: None) -> None:
    told, heard = threading.Event(), threading.Event()

    def handle(request: Request) -> None:
        request.answer(200, b'retry: 2000\n\nevent: stats\ndata: {"stats": {}}\nid: 1\n\n', Content_Type=EVENTS)
        request.wfile.write(b'event: job\ndata: {"id": "x"}\nid: 2\n\nevent: job\ndata: {"id": "b"}\nid: 3\n\n')
        told.set()
        heard.wait(10)

    with serving(handle) as cli:
        listener = Hearing(client_of(cli.url))
        try:
            assert listener.next(JOBS) == ["b"]
            assert told.is_set()
        finally:
            heard.set()


EVENTS = "text/event-stream; charset=utf-8"
ANSWERS = {
    "an earlier service": (404, b'{"detail": "There is nothing."}', "application/problem+json"),
    "something else": (200, b'data: {"id": "b"}\n', "text/plain"),
    "no JSON": (200, b'data: {"id": b\n\ndata: []\n\ndata\n\n', EVENTS),
    "the end": (200, b"", EVENTS),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_where_there_is_nothing_to_hear_all_are_asked_about(name: str) -> None:
    status, content, kind = ANSWERS[name]
    with serving(lambda request: request.answer(status, content, Content_Type=kind)) as cli:
        assert Hearing(client_of(cli.url)).next(JOBS) == JOBS


def test_where_nobody_answers_all_are_asked_about() -> None:
    assert Hearing(client_of("http://127.0.0.1:9")).next(JOBS) == JOBS
