"""What measurements of speed share: photos, processor time of process trees, waiting, and one timed run."""

import contextlib
import os
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import requests
from PIL import Image

PROJECT = Path(__file__).resolve().parent.parent
SAMPLES = PROJECT / "docs" / "samples"
POLL_SECONDS = 0.02
START_SECONDS = 120.0
# Brightness noise of a daylight photo, in levels of 255, and a quality that brings 12 megapixels to 3 MB, as phones do.
NOISE_LEVELS = 2.0
JPEG_QUALITY = 95


# --- photos -----------------------------------------------------------------------------------------------------


def photos(count: int, seed: int) -> list[bytes]:
    """JPEGs of the sample photos in turn; a pixel that depends on position and seed makes each unique."""
    sources = samples()
    encoded = []
    for position in range(count):
        photo = sources[position % len(sources)].copy()
        photo.putpixel((0, 0), (position % 256, position // 256, seed))
        encoded.append(jpeg(photo))
    return encoded


def camera_photos(folder: Path, megapixels: float, count: int) -> list[Path]:
    """The sample photos in turn, enlarged, each with noise of its own, as JPEG files; the same bytes every time.

    Noise, because an enlarged photo is smoother than a camera's: it would compress too well, to JPEG and to PNG.
    """
    paths = []
    enlarged = [np.asarray(resized(source, megapixels), np.float32) for source in samples()]
    for number in range(count):
        pixels = enlarged[number % len(enlarged)]
        noise = np.random.default_rng(number).standard_normal(pixels.shape[:2], np.float32)
        noisy = np.clip(pixels + NOISE_LEVELS * noise[..., None] + 0.5, 0, 255).astype(np.uint8)
        paths.append(folder / f"{number}.jpg")
        paths[-1].write_bytes(jpeg(Image.fromarray(noisy)))
    return paths


def samples() -> list[Image.Image]:
    return [Image.open(path).convert("RGB") for path in sorted(SAMPLES.glob("*.jpg"))]


def resized(photo: Image.Image, megapixels: float) -> Image.Image:
    factor = (megapixels * 1e6 / (photo.width * photo.height)) ** 0.5
    return photo.resize((round(photo.width * factor), round(photo.height * factor)), Image.Resampling.LANCZOS)


def jpeg(photo: Image.Image) -> bytes:
    buffer = BytesIO()
    photo.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


# --- processes --------------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def is_ready(url: str) -> bool:
    return answers(f"{url}/ready")


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.ConnectionError:
        return False


def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"The service did not become ready within {seconds:g} seconds.")
        time.sleep(POLL_SECONDS)


@dataclass(frozen=True)
class ProcessTime:
    """Processor seconds of a process so far, and those of its children that have ended; of which process it is one."""

    parent: int
    own: float
    of_ended: float


def process_times() -> dict[int, ProcessTime]:
    """All processes of this machine (Linux)."""
    ticks = os.sysconf("SC_CLK_TCK")
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # ended since it was listed
            number, _, rest = path.read_text().partition(" ")
            fields = rest.rpartition(")")[2].split()
            own, ended = (sum(map(int, fields[first : first + 2])) / ticks for first in (11, 13))
            found[int(number)] = ProcessTime(int(fields[1]), own, ended)
    return found


def tree_seconds(roots: Sequence[int]) -> float:
    """Processor seconds so far of processes and all that descend from them, ended ones included."""
    times = process_times()
    tree = list(roots)
    for pid in tree:
        tree += [child for child, time in times.items() if time.parent == pid]
    return sum(times[pid].own + times[pid].of_ended for pid in tree if pid in times)


# --- one run ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ended:
    """When the last result was there, in seconds of the Unix clock, and bytes of all results."""

    at: float
    output_bytes: int


@dataclass(frozen=True)
class Contender:
    """Something that cuts out photos.

    `work` returns when all photos are done. What it returns is called after the clocks were read, because asking for
    details costs time. `cpu_seconds` are those of its processes so far, by part.
    """

    work: Callable[[Sequence[Path]], Callable[[], Ended]]
    cpu_seconds: Callable[[], Mapping[str, float]]


@dataclass(frozen=True)
class Run:
    """What a contender did with some photos, for one photo; processor seconds by part of the contender."""

    per_second: float
    cpu_seconds: Mapping[str, float]
    client_cpu_seconds: float
    output_bytes: float

    @property
    def all_cpu_seconds(self) -> float:
        return sum(self.cpu_seconds.values())


def measure(contender: Contender, paths: Sequence[Path]) -> Run:
    count = len(paths)
    cpu, client, begin = contender.cpu_seconds(), time.process_time(), time.time()
    tell = contender.work(paths)
    client_after, cpu_after = time.process_time(), contender.cpu_seconds()
    ended = tell()
    return Run(
        per_second=count / (ended.at - begin),
        cpu_seconds={part: (cpu_after[part] - cpu[part]) / count for part in cpu},
        client_cpu_seconds=(client_after - client) / count,
        output_bytes=ended.output_bytes / count,
    )
