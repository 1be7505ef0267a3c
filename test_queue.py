"""The story of one job, told as checks against a real service.

`python test_queue.py` starts a service of its own; `python test_queue.py --url URL` (or QUEUE_URL) asks one that runs,
with QUEUE_API_TOKEN if it wants a token. pytest collects the same checks.
"""

import argparse
import contextlib
import hashlib
import io
import json
import os
import struct
import sys
import tempfile
import time
import traceback
import uuid
import zipfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.service import SAMPLES, running

Json = dict[str, Any]
MODEL = "u2netp"
ENDED = ("completed", "failed", "cancelled")
POLL_SECONDS = 0.1
PATIENCE_SECONDS = 180.0
MANY = 20


class Story:
    """The service under test and the jobs that several checks look at; each is queued when it is first needed."""

    def __init__(self, url: str, session: requests.Session) -> None:
        self.url = url.rstrip("/")
        self.session = session

    def get(self, path: str, **query: object) -> requests.Response:
        return self.session.get(self.url + path, params={k: str(v) for k, v in query.items()}, timeout=60)

    def post(self, path: str, **query: object) -> requests.Response:
        return self.session.post(self.url + path, params={k: str(v) for k, v in query.items()}, timeout=60)

    def submit(self, *pictures: Path, model: str = MODEL) -> requests.Response:
        files = [("images", (picture.name, picture.read_bytes())) for picture in pictures]
        # The same pictures are sent again and again, and each time they are to be worked on.
        query = {"model": model, "cache": "off"}
        return self.session.post(f"{self.url}/queue/submit", params=query, files=files, timeout=60)

    def job(self, job_id: str) -> Json:
        view: Json = self.get(f"/queue/job/{job_id}").json()
        return view

    def watch(self, job_id: str) -> Iterator[Json]:
        """Every look at a job until it has ended."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            view = self.job(job_id)
            yield view
            if view["status"] in ENDED:
                return
            time.sleep(POLL_SECONDS)
        raise AssertionError(f"job {job_id} did not end within {PATIENCE_SECONDS:.0f} seconds")

    def end_of(self, job_id: str) -> Json:
        return list(self.watch(job_id))[-1]

    @cached_property
    def single(self) -> Json:
        """A finished job of one picture."""
        return self.end_of(self.submit(SAMPLES[0]).json()["job_id"])

    @cached_property
    def batch(self) -> Json:
        """A finished job of two pictures."""
        return self.end_of(self.submit(*SAMPLES[:2]).json()["job_id"])


def test_service_health(story: Story) -> None:
    answer = story.get("/health")
    assert answer.status_code == 200
    assert answer.json()["status"] == "healthy"


def test_queue_initialisation(story: Story) -> None:
    answer = story.get("/queue/stats").json()
    assert answer["stats"].keys() >= {"pending", "processing", "completed", "failed", "cancelled", "total"}
    assert answer["worker"].keys() >= {"status", "active_jobs", "max_concurrent"}
    assert answer["worker"]["max_concurrent"] >= 1
    deadline = time.monotonic() + PATIENCE_SECONDS
    while story.get("/ready").status_code != 200:
        assert time.monotonic() < deadline, "the service never became ready"
        time.sleep(POLL_SECONDS)
    assert story.get("/queue/stats").json()["worker"]["status"] == "running"


def test_submission(story: Story) -> None:
    answer = story.submit(*SAMPLES[:2])
    queued = answer.json()
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/queue/job/{queued['job_id']}"
    assert str(uuid.UUID(queued["job_id"])) == queued["job_id"]
    assert {key: queued[key] for key in ("status", "job_type", "files_count", "model", "message")} == {
        "status": "queued",
        "job_type": "batch",
        "files_count": 2,
        "model": MODEL,
        "message": "Job queued successfully. Check status with /queue/job/{job_id}",
    }
    assert story.submit(SAMPLES[0]).json()["job_type"] == "single"


def test_status(story: Story) -> None:
    view = story.job(story.batch["id"])
    assert (view["status"], view["type"], view["model"], view["error"]) == ("completed", "batch", MODEL, None)
    assert view["filenames"] == [picture.name for picture in SAMPLES[:2]]
    assert view["progress"] == {"total": 2, "processed": 2, "failed": 0}
    assert view["created_at"] <= view["started_at"] <= view["completed_at"]
    assert [entry["filename"] for entry in view["results"]] == view["filenames"]
    for index, entry in enumerate(view["results"]):
        assert (entry["status"], entry["content_type"], entry["model"]) == ("completed", "image/png", MODEL)
        assert (entry["url"], entry["error"]) == (f"/queue/job/{view['id']}/result/{index}", None)
        assert min(entry["width"], entry["height"], entry["bytes"], entry["seconds"]) > 0


def test_progress(story: Story) -> None:
    looks = list(story.watch(story.submit(*SAMPLES).json()["job_id"]))
    order = ["pending", "processing", "completed"]
    states = [order.index(look["status"]) for look in looks]
    done = [look["progress"]["processed"] for look in looks]
    assert states == sorted(states)
    assert done == sorted(done)
    assert done[-1] == looks[-1]["progress"]["total"] == len(SAMPLES)
    assert all(look["results"] is None for look in looks[:-1])


def test_listing(story: Story) -> None:
    older, newer = (story.submit(SAMPLES[0]).json()["job_id"] for _ in range(2))
    page = story.get("/queue/jobs", limit=1).json()
    listed = page["jobs"]
    while page["next"] and older not in [job["id"] for job in listed]:
        page = story.get("/queue/jobs", limit=1, cursor=page["next"]).json()
        listed += page["jobs"]
    ids = [job["id"] for job in listed]
    times = [job["created_at"] for job in listed]
    assert ids.index(newer) < ids.index(older)
    assert times == sorted(times, reverse=True)
    assert page["total"] >= len(listed) == len(set(ids))
    story.end_of(newer)
    completed = story.get("/queue/jobs", status="completed", limit=5).json()["jobs"]
    assert {job["status"] for job in completed} == {"completed"}
    assert all(job["results"] is None for job in completed)


def test_statistics(story: Story) -> None:
    before = story.get("/queue/stats").json()["stats"]
    job = story.end_of(story.submit(SAMPLES[0]).json()["job_id"])
    after = story.get("/queue/stats").json()["stats"]
    assert job["status"] == "completed"
    assert after["completed"] >= before["completed"] + 1
    assert after["total"] == sum(count for name, count in after.items() if name != "total")


def test_errors(story: Story) -> None:
    unknown = uuid.uuid4()
    text = [("images", ("notes.txt", b"not a picture"))]
    address = f"{story.url}/queue/submit"
    answers = {
        "job_not_found": (404, story.get(f"/queue/job/{unknown}")),
        "no_files": (422, story.session.post(address, files={"model": (None, MODEL)}, timeout=60)),
        "unknown_model": (422, story.submit(SAMPLES[0], model="no-such-model")),
        "invalid_files": (422, story.session.post(address, files=text, timeout=60)),
        "result_not_found": (404, story.get(f"/queue/job/{story.batch['id']}/result/2")),
        "invalid_request": (422, story.get("/queue/jobs", status="no-such-status")),
    }
    for code, (status, answer) in answers.items():
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["detail"].endswith(".")
    assert story.get(f"/queue/job/{unknown}/result").status_code == 404
    assert story.post(f"/queue/job/{unknown}/cancel").status_code == 404
    assert [file["filename"] for file in answers["invalid_files"][1].json()["rejected"]] == ["notes.txt"]


def test_cancellation(story: Story) -> None:
    slots = story.get("/queue/stats").json()["worker"]["max_concurrent"]
    most = story.get("/health").json()["limits"]["max_files_per_job"]
    ahead = story.submit(*[SAMPLES[0]] * min(most, 4 * slots + 6)).json()["job_id"]
    waiting = story.submit(SAMPLES[0]).json()["job_id"]
    assert story.get(f"/queue/job/{waiting}/result").status_code == 409
    for _ in range(2):  # the second time answers as the first
        answer = story.post(f"/queue/job/{waiting}/cancel")
        assert answer.status_code == 200
        assert answer.json() == {"job_id": waiting, "status": "cancelled", "message": "Job cancelled successfully"}
    assert story.job(waiting)["status"] == "cancelled"
    next(look for look in story.watch(ahead) if look["status"] == "processing")
    refused = story.post(f"/queue/job/{ahead}/cancel")
    assert (refused.status_code, refused.json()["code"]) == (409, "illegal_transition")
    assert "processing" in refused.json()["detail"]
    assert story.job(ahead)["status"] == "processing"
    assert story.post(f"/queue/job/{ahead}/cancel", force="true").json()["status"] == "cancelled"
    assert story.end_of(ahead)["status"] == "cancelled"
    assert story.post(f"/queue/job/{story.batch['id']}/cancel").status_code == 409


def test_many_submissions(story: Story) -> None:
    picture = min(SAMPLES, key=lambda path: path.stat().st_size)
    with ThreadPoolExecutor(4) as clients:
        answers = list(clients.map(lambda _: story.submit(picture), range(MANY)))
    assert {answer.status_code for answer in answers} == {202}
    ids = {answer.json()["job_id"] for answer in answers}
    assert len(ids) == MANY
    ends = [story.end_of(job_id) for job_id in ids]
    assert {end["status"] for end in ends} == {"completed"}
    assert {end["results"][0]["attempts"] for end in ends} == {1}
    assert len({end["results"][0]["sha256"] for end in ends}) == 1


def test_result(story: Story) -> None:
    entry = story.single["results"][0]
    answer = story.get(f"/queue/job/{story.single['id']}/result")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/png")
    assert f"{SAMPLES[0].stem}.png" in answer.headers["Content-Disposition"]
    assert (len(answer.content), hashlib.sha256(answer.content).hexdigest()) == (entry["bytes"], entry["sha256"])
    width, height, depth, colour_type = struct.unpack_from(">IIBB", answer.content, 16)
    assert (width, height, depth, colour_type) == (entry["width"], entry["height"], 8, 6)
    levels = pixel_data(answer.content)
    # Whatever filter a PNG's first row has, its first pixel is stored as it is: RGBA behind one byte for the filter.
    assert levels[4] < 16, "the corner of the photo should be transparent"
    assert len(set(levels)) == 256, "the subject of the photo should still be there"
    unchanged = {"If-None-Match": answer.headers["ETag"]}
    again = story.session.get(story.url + entry["url"], headers=unchanged, timeout=60)
    assert (again.status_code, again.content) == (304, b"")


def test_result_of_a_batch(story: Story) -> None:
    answer = story.get(f"/queue/job/{story.batch['id']}/result")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/zip")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        names = [f"{picture.stem}.png" for picture in SAMPLES[:2]]
        assert sorted(archive.namelist()) == sorted([*names, "manifest.json"])
        assert json.loads(archive.read("manifest.json"))["job_id"] == story.batch["id"]
        digests = [hashlib.sha256(archive.read(name)).hexdigest() for name in names]
    assert digests == [entry["sha256"] for entry in story.batch["results"]]


def pixel_data(png: bytes) -> bytes:
    """Rows of a PNG, each behind the number of its filter."""
    place, packed = 8, b""
    while place < len(png):
        length, kind = struct.unpack_from(">I4s", png, place)
        packed += png[place + 8 : place + 8 + length] if kind == b"IDAT" else b""
        place += length + 12
    return zlib.decompress(packed)


@contextlib.contextmanager
def telling(url: str | None) -> Iterator[Story]:
    """A story about the service at `url`, or about a new one that ends with it."""
    token = os.environ.get("QUEUE_API_TOKEN")
    with contextlib.ExitStack() as stack:
        session = stack.enter_context(requests.Session())
        session.headers.update({"Authorization": f"Bearer {token}"} if token else {})
        if url is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
            service = stack.enter_context(running(Path(folder)))
            service.wait_until("/health")
            url = service.url
        yield Story(url, session)


@pytest.fixture(scope="module")
def story() -> Iterator[Story]:
    with telling(None) as told:
        yield told


def main() -> int:
    parser = argparse.ArgumentParser(description="Check a service from submission to result.")
    parser.add_argument("--url", default=os.environ.get("QUEUE_URL"), help="a service that runs; else one is started")
    checks = [(name, check) for name, check in globals().items() if name.startswith("test_")]
    failed = 0
    with telling(parser.parse_args().url) as told:
        print(f"Checking {told.url}")
        for name, check in checks:
            title = name.removeprefix("test_").replace("_", " ")
            try:
                check(told)
                print(f"ok      {title}", flush=True)
            except requests.ConnectionError:
                print(f"FAILED  {title}: no service answers at {told.url}.")
                return 1
            except (AssertionError, LookupError, TypeError, ValueError, OSError) as error:
                failed += 1
                line = traceback.extract_tb(error.__traceback__)[-1]
                reason = str(error) or line.line
                print(f"FAILED  {title}: {reason} ({Path(line.filename).name}:{line.lineno})", flush=True)
    print(f"{len(checks) - failed} of {len(checks)} checks passed.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
