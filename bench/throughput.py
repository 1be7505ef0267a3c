"""Pictures per second: a plain loop over rembg.remove against this service over HTTP, results fetched, same model.

Both get the same photos, each made unique, so that no cache can help. Rounds are interleaved; medians are compared.
"""

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from pathlib import Path

import rembg
import requests
from PIL import Image
from rembg.sessions.base import BaseSession

PROJECT = Path(__file__).resolve().parent.parent
SAMPLES = PROJECT / "docs" / "samples"
POLL_SECONDS = 0.02
START_SECONDS = 120.0
WARM_UP_SEED = 255


def photos(count: int, seed: int) -> list[bytes]:
    """JPEGs of the sample photos in turn; a pixel that depends on position and seed makes each unique."""
    sources = [Image.open(path).convert("RGB") for path in sorted(SAMPLES.glob("*.jpg"))]
    encoded = []
    for position in range(count):
        photo = sources[position % len(sources)].copy()
        photo.putpixel((0, 0), (position % 256, position // 256, seed))
        buffer = BytesIO()
        photo.save(buffer, "JPEG", quality=95)
        encoded.append(buffer.getvalue())
    return encoded


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def service(model: str) -> Iterator[str]:
    """A service of its own, warm; yields its URL."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as data_dir:
        settings = {
            "PORT": str(port),
            "QUEUE_DATA_DIR": data_dir,
            "QUEUE_DEFAULT_MODEL": model,
            "QUEUE_LOG_LEVEL": "WARNING",
        }
        process = subprocess.Popen(
            [sys.executable, "app.py"], cwd=PROJECT, env={**os.environ, **settings}, stdout=subprocess.DEVNULL
        )
        try:
            wait_until(lambda: is_ready(url), START_SECONDS)
            yield url
        finally:
            process.terminate()
            process.wait()


def is_ready(url: str) -> bool:
    try:
        return requests.get(f"{url}/ready", timeout=5).ok
    except requests.ConnectionError:
        return False


def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"The service did not become ready within {seconds:g} seconds.")
        time.sleep(POLL_SECONDS)


def through_service(url: str, model: str, images: list[bytes]) -> None:
    """One job: submit, wait for its end, fetch the results."""
    parts = [("images", (f"{position}.jpg", image, "image/jpeg")) for position, image in enumerate(images)]
    submitted = requests.post(f"{url}/queue/submit", params={"model": model}, files=parts, timeout=600)
    submitted.raise_for_status()
    job_url = f"{url}/queue/job/{submitted.json()['job_id']}"
    while (job := requests.get(job_url, timeout=60).json())["completed_at"] is None:
        time.sleep(POLL_SECONDS)
    if job["progress"]["processed"] != len(images):
        sys.exit(f"Only {job['progress']['processed']} of {len(images)} pictures succeeded: {job['error']}")
    requests.get(f"{job_url}/result", timeout=600).raise_for_status()


def through_loop(session: BaseSession, images: list[bytes]) -> None:
    for image in images:
        rembg.remove(image, session=session)


def rate(work: Callable[[list[bytes]], None], images: list[bytes]) -> float:
    """Pictures per second."""
    started = time.perf_counter()
    work(images)
    return len(images) / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="u2netp")
    parser.add_argument("--images", type=int, default=30, help="pictures in a round")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()

    loop = partial(through_loop, rembg.new_session(options.model))
    loop_rates, service_rates = [], []
    with service(options.model) as url:
        queue = partial(through_service, url, options.model)
        for work in (loop, queue):
            work(photos(1, WARM_UP_SEED))
        for number in range(options.rounds):
            images = photos(options.images, number)
            loop_rates.append(rate(loop, images))
            service_rates.append(rate(queue, images))
            print(f"round {number + 1}: rembg loop {loop_rates[-1]:.2f}/s, service {service_rates[-1]:.2f}/s")
    loop_rate, service_rate = statistics.median(loop_rates), statistics.median(service_rates)
    print(f"{options.model}, median of {options.rounds} rounds of {options.images} pictures, {os.cpu_count()} cores:")
    print(f"rembg loop {loop_rate:.2f}/s, service {service_rate:.2f}/s, ratio {service_rate / loop_rate:.2f}")


if __name__ == "__main__":
    main()
