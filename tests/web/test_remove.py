"""`POST /remove` with real pictures, a real worker and real processes."""

import os
import re
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.service import SAMPLES, Service, children_of, running, wait_until_dead
from tests.web.shapes import problem
from tests.web.site import wait_until

CAT = SAMPLES[1]
GUNICORN = [sys.executable, "-m", "gunicorn", "app:app", "--workers", "2", "--bind", "127.0.0.1:{port}"]


def remove(service: Service, **query: str) -> requests.Response:
    with CAT.open("rb") as picture:
        return requests.post(f"{service.url}/remove", params=query, files={"image": picture}, timeout=60)


def test_a_photo_comes_back_as_its_cutout(service: Service) -> None:
    answer = remove(service, cache="off")
    assert answer.status_code == 200, answer.text
    job_id = answer.headers["X-Job-Id"]
    same = requests.get(f"{service.url}/queue/job/{job_id}/result", timeout=10)
    assert same.content == answer.content
    assert answer.headers["Content-Length"] == f"{len(answer.content)}"
    assert service.job(job_id)["priority"] == "high"


def test_what_is_finished_already_is_not_waited_for(service: Service) -> None:
    def send(wait: str) -> requests.Response:
        files, headers = {"image": CAT.read_bytes()}, {"Idempotency-Key": "finished already"}
        return requests.post(f"{service.url}/remove?wait={wait}", files=files, headers=headers, timeout=60)

    first, again = send("30"), send("0")
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.content == first.content


def test_a_damaged_photo_is_refused_with_its_reason(service: Service) -> None:
    headers = {"Content-Type": "image/jpeg"}
    answer = requests.post(f"{service.url}/remove", data=CAT.read_bytes()[:2000], headers=headers, timeout=60)
    told = problem(answer, 422, "broken_picture")
    assert service.job(told["job_id"])["status"] == "failed"


def test_hanging_up_frees_the_child_that_works_on_it(service: Service) -> None:
    (child,) = children_of(service)
    os.kill(child, signal.SIGSTOP)
    with CAT.open("rb") as picture, pytest.raises(requests.Timeout):
        requests.post(f"{service.url}/remove?cache=off", files={"image": picture}, timeout=(5, 0.5))
    assert wait_until_dead([child], 10) == []
    listed = requests.get(f"{service.url}/queue/jobs?limit=1", timeout=10).json()["jobs"]
    assert [job["status"] for job in listed] == ["cancelled"]
    assert remove(service, cache="off").status_code == 200


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("gunicorn"), GUNICORN) as started:
        started.wait_until("/ready")
        yield started


def test_the_same_request_joins_whichever_process_it_comes_to(two_workers: Service) -> None:
    def send(patience_seconds: float) -> requests.Response | None:
        try:
            files = {"image": CAT.read_bytes()}
            return requests.post(f"{two_workers.url}/remove?size=medium", files=files, timeout=(5, patience_seconds))
        except requests.Timeout:
            return None

    def switch(name: str) -> None:
        requests.post(f"{two_workers.url}/queue/{name}", timeout=10).raise_for_status()

    switch("pause")
    with ThreadPoolExecutor(16) as clients:
        first, *later = [clients.submit(send, patience) for patience in [0.5, 0.5, *[60] * 12]]
        assert first.result() is None
        wait_until(lambda: len(re.findall("job .* joined:", two_workers.log)) >= 12)
        switch("resume")
        answers = [asked.result() for asked in later[1:]]
    assert {answer.status_code for answer in answers if answer is not None} == {200}
    assert len({answer.headers["X-Job-Id"] for answer in answers if answer is not None}) == 1


def test_whichever_process_is_asked_answers(two_workers: Service) -> None:
    with ThreadPoolExecutor(16) as clients:
        answers = list(clients.map(lambda _: remove(two_workers), range(16)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
