"""Every answer is one that /openapi.json tells of: to whatever Schemathesis makes up, and to real requests.

An ordinary run makes a few dozen requests for each operation; OPENAPI_EXAMPLES=1000 makes so many.
"""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from app import app
from tests.service import SAMPLES, Service, running

EXAMPLES = int(os.environ.get("OPENAPI_EXAMPLES", "25"))
PICTURE = ("cat.jpg", SAMPLES[1].read_bytes())
NOTES = ("notes.txt", b"no picture")
DAMAGED = ("damaged.jpg", PICTURE[1][:2000])
UNKNOWN = "00000000-0000-4000-8000-000000000000"

# uvicorn takes 64 KiB of them and headers together, and refuses more by itself, in plain text.
LONGEST_ADDRESS = 60_000

SETTINGS = settings(
    max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
schema = schemathesis.openapi.from_dict(app.openapi())
# A stream has no end that a made-up request could wait for: tests/web/test_events.py follows them.
endless = "/events$"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    # The queue is paused below, so whoever waits for a picture waits in vain.
    with running(tmp_path_factory.mktemp("service"), max_files_per_job="5", max_wait_seconds="0.2") as started:
        started.wait_until("/ready")
        yield started


@pytest.fixture(scope="module")
def jobs(service: Service) -> list[str]:
    """One in every state, on a queue that is paused from then on."""
    ended = [service.submit([PICTURE]), service.submit([PICTURE, DAMAGED]), service.submit([DAMAGED])]
    for job_id in ended:
        service.wait_for(job_id)
    requests.post(f"{service.url}/queue/pause", timeout=10).raise_for_status()
    pending, cancelled = service.submit([PICTURE]), service.submit([PICTURE])
    requests.post(f"{service.url}/queue/job/{cancelled}/cancel", timeout=10).raise_for_status()
    return [*ended, pending, cancelled, UNKNOWN]


@schema.exclude(path_regex=endless).parametrize()
@settings(SETTINGS)
def test_made_up_requests(case: schemathesis.Case[Any], service: Service, jobs: list[str]) -> None:
    ids = jobs if "job_id" in case.path_parameters else []
    for parameters in ({}, *({"job_id": job_id} for job_id in ids)):
        case.path_parameters.update(parameters)
        # What is of the right type may still be no picture, or no cursor of ours.
        answer = case.call(base_url=service.url, timeout=30)
        # On a queue that is paused nothing is finished in time, and says so.
        waited = answer.status_code == 503 and "not_in_time" in answer.text
        if not waited and len(str(answer.request.url)) < LONGEST_ADDRESS:
            case.validate_response(answer, excluded_checks=[positive_data_acceptance])


def conforms(method: str, path: str, answer: requests.Response, status: int) -> None:
    """Status, type and shape are those of the document."""
    assert answer.status_code == status, answer.text
    schema[path][method].validate_response(answer)


def test_real_submits(service: Service, jobs: list[str]) -> None:
    def submit(status: int, *files: tuple[str, bytes], key: str = "k", **query: str) -> None:
        parts = [("images", file) for file in files]
        headers = {"Idempotency-Key": key}
        answer = requests.post(f"{service.url}/queue/submit", params=query, files=parts, headers=headers, timeout=30)
        conforms("POST", "/queue/submit", answer, status)

    submit(202, PICTURE, DAMAGED, priority="high", model="siluette")
    submit(202, PICTURE, DAMAGED, priority="high", model="siluette")
    submit(422, PICTURE)
    submit(202, PICTURE, NOTES, on_invalid="skip", key="l")
    submit(422, PICTURE, NOTES, key="m")
    submit(413, *[PICTURE] * 6, key="m")


@pytest.mark.parametrize("place", range(5))
def test_real_jobs(service: Service, jobs: list[str], place: int) -> None:
    path = "/queue/job/{job_id}"
    conforms("GET", path, requests.get(f"{service.url}/queue/job/{jobs[place]}", timeout=30), 200)
    conforms("GET", "/queue/jobs", requests.get(f"{service.url}/queue/jobs?limit={place + 1}", timeout=30), 200)


def test_a_full_disk(tmp_path: Path) -> None:
    with running(tmp_path, disk_reserve_bytes=f"{2**60}") as full:
        full.wait_until("/ready", 503)
        conforms("GET", "/ready", requests.get(f"{full.url}/ready", timeout=30), 503)
        answer = requests.post(f"{full.url}/queue/submit", files=[("images", PICTURE)], timeout=30)
        conforms("POST", "/queue/submit", answer, 507)


def test_every_reference_leads_somewhere() -> None:
    document = app.openapi()
    for path in re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(document)):
        place = document
        for word in path.split("/"):
            place = place[word]
