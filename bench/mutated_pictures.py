"""Damaged and hostile pictures of every format through a real service: each must end with a result or a reason.

    python -m bench.mutated_pictures --pictures 5000

Nothing may stay open, the service must stay ready, and the memory of children bounded. Ends with 1 if not.
"""

import argparse
import contextlib
import random
import struct
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import requests
from PIL import Image

from bench.throughput import SAMPLES
from bench.upload_memory import memory_mib
from tests.pictures import encode, heic, png_chunk
from tests.service import Service, children_of, running

JOB_FILES = 50
PATIENCE_SECONDS = 900.0
# What a picture of 49 million pixels needs, and room to spare; see working_bytes in operations/child.py.
MOST_CHILD_MIB = 2600.0
EXTREMES = (0, 1, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)
SIZE = (96, 72)


@cache
def sources() -> Mapping[str, bytes]:
    """One sound picture of every kind, small, so that most of the time goes into damage."""
    with Image.open(SAMPLES / "cat.jpg") as photo:
        rgb = photo.convert("RGB").resize(SIZE)
    turned = [rgb.rotate(angle) for angle in (90, 180)]
    return {
        "jpeg": encode(rgb, "JPEG"),
        "jpeg progressive": encode(rgb, "JPEG", progressive=True),
        "jpeg cmyk": encode(rgb.convert("CMYK"), "JPEG"),
        "png": encode(rgb, "PNG"),
        "png palette": encode(rgb.convert("P"), "PNG", transparency=0),
        "png 16 bit": encode(rgb.convert("I;16"), "PNG"),
        "webp": encode(rgb, "WEBP"),
        "webp lossless": encode(rgb, "WEBP", lossless=True),
        "webp animated": encode(rgb, "WEBP", save_all=True, append_images=turned),
        "bmp": encode(rgb, "BMP"),
        "tiff": encode(rgb, "TIFF"),
        "tiff lzw": encode(rgb, "TIFF", compression="tiff_lzw"),
        "tiff jpeg": encode(rgb, "TIFF", compression="jpeg"),
        "gif animated": encode(rgb, "GIF", save_all=True, append_images=turned),
        "heic": heic(rgb),
        "avif": encode(rgb, "AVIF"),
    }


# --- one way of damage each -------------------------------------------------------------------------------------


def flipped_bits(chance: random.Random, data: bytes, other: bytes) -> bytes:
    damaged = bytearray(data)
    for _ in range(chance.choice((1, 2, 8, 40))):
        damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
    return bytes(damaged)


def damaged_header(chance: random.Random, data: bytes, other: bytes) -> bytes:
    damaged = bytearray(data)
    for _ in range(chance.choice((1, 3, 10))):
        damaged[chance.randrange(min(200, len(damaged)))] = chance.randrange(256)
    return bytes(damaged)


def truncated(chance: random.Random, data: bytes, other: bytes) -> bytes:
    return data[: chance.randrange(len(data))]


def cut_out_or_doubled(chance: random.Random, data: bytes, other: bytes) -> bytes:
    begin, end = sorted(chance.randrange(len(data)) for _ in range(2))
    return data[:begin] + data[begin:end] * chance.choice((0, 2, 5)) + data[end:]


def spliced(chance: random.Random, data: bytes, other: bytes) -> bytes:
    """The head of one format on the body of another."""
    return data[: chance.choice((4, 12, 33, 100, chance.randrange(len(data))))] + other[chance.randrange(len(other)) :]


def other_dimensions(chance: random.Random, data: bytes, other: bytes) -> bytes:
    """Width or height, wherever the header says it, is zero or huge; checksums of PNG are made to fit."""
    places = []
    for layout in (">H", "<H", ">I", "<I"):
        for side in SIZE:
            at = data.find(struct.pack(layout, side), 0, 400)
            places += [(at, layout)] if at >= 0 else []
    if not places:
        return damaged_header(chance, data, data)
    at, layout = chance.choice(places)
    most = 2 ** (8 * struct.calcsize(layout)) - 1
    damaged = bytearray(data)
    struct.pack_into(layout, damaged, at, min(chance.choice(EXTREMES), most))
    if data.startswith(b"\x89PNG"):
        struct.pack_into(">I", damaged, 29, zlib.crc32(damaged[12:29]))
    return bytes(damaged)


def bomb(chance: random.Random) -> bytes:
    """PNG that unpacks to far more than it weighs: in pixels, in metadata, or behind its last row."""
    kind = chance.choice(("allowed", "beyond", "metadata", "profile", "overlong"))
    side = {"allowed": 7000, "beyond": 20_000}.get(kind, 32)
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    zeros = zlib.compress(bytes(64 * 2**20))
    more = {"metadata": png_chunk(b"zTXt", b"x\0\0" + zeros), "profile": png_chunk(b"iCCP", b"x\0\0" + zeros)}
    pixels = zeros if kind == "overlong" else packed_zeros((side + 1) * side)
    parts = (header, more.get(kind, b""), png_chunk(b"IDAT", pixels), png_chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def packed_zeros(count: int) -> bytes:
    packer = zlib.compressobj()
    return b"".join(packer.compress(bytes(min(2**20, count - at))) for at in range(0, count, 2**20)) + packer.flush()


def noise(chance: random.Random, data: bytes, other: bytes) -> bytes:
    """A beginning that says what it is, and nothing behind that."""
    return data[: chance.choice((4, 8, 16, 40))] + chance.randbytes(chance.choice((0, 100, 20_000)))


Damage = Callable[[random.Random, bytes, bytes], bytes]
DAMAGES: Sequence[Damage] = [
    *(flipped_bits, damaged_header, truncated, cut_out_or_doubled, spliced, other_dimensions, noise)
]
# Large ones take seconds each.
BOMB_EVERY = 100


def mutated(number: int) -> tuple[str, bytes]:
    """The picture of a number, always the same; its name tells what was done to what."""
    chance, sound = random.Random(number), sources()
    if number % BOMB_EVERY == 0:
        return f"{number} bomb.png", bomb(chance)
    damage = DAMAGES[number % len(DAMAGES)]
    name = list(sound)[number // len(DAMAGES) % len(sound)]
    return f"{number} {damage.__name__} {name}", damage(chance, sound[name], chance.choice(list(sound.values())))


# --- through the service ------------------------------------------------------------------------------------------


@dataclass
class Figures:
    """`outcomes` counts (what was done, what became of it); `open_ends` names what has neither result nor reason."""

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    open_ends: list[str] = field(default_factory=list)
    not_ready: int = 0
    child_mib: float = 0.0
    slowest_seconds: float = 0.0

    def note(self, name: str, outcome: str) -> None:
        self.outcomes[name.split()[1].removesuffix(".png"), outcome] += 1

    @property
    def faults(self) -> list[str]:
        faults = [f"neither result nor reason: {name}" for name in self.open_ends]
        if self.not_ready:
            faults.append(f"{self.not_ready} times not ready")
        if self.child_mib > MOST_CHILD_MIB:
            faults.append(f"a child took {self.child_mib:.0f} MiB")
        return faults


def attack(service: Service, numbers: range) -> Figures:
    figures = Figures()
    for start in numbers[::JOB_FILES]:
        pictures = [mutated(number) for number in range(start, min(start + JOB_FILES, numbers.stop))]
        answer = requests.post(
            f"{service.url}/queue/submit",
            params={"on_invalid": "skip"},
            files=[("images", picture) for picture in pictures],
            timeout=120,
        ).json()
        for refused in answer["rejected"]:
            figures.note(refused["filename"], f"refused: {refused['code']}")
        refused_ones = {refused["index"] for refused in answer["rejected"]}
        left = [name for index, (name, _) in enumerate(pictures) if index not in refused_ones]
        if left:
            finish(service, answer["job_id"], left, figures)
    return figures


def finish(service: Service, job_id: str, names: Sequence[str], figures: Figures) -> None:
    """Wait for a job, watching the service meanwhile, and note what became of its files."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (job := service.job(job_id))["completed_at"] is None and time.monotonic() < deadline:
        figures.not_ready += requests.get(f"{service.url}/ready", timeout=30).status_code != 200
        for pid in children_of(service):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError, SystemExit):  # ended meanwhile
                figures.child_mib = max(figures.child_mib, memory_mib(pid, "VmHWM"))
        time.sleep(0.2)
    results = job["results"] or []
    assert isinstance(results, list)
    told = {entry["filename"]: entry for entry in results}
    for name in names:
        entry = told.get(name)
        if entry is None or not (entry["url"] or entry["error"]):
            figures.open_ends.append(name)
            continue
        figures.slowest_seconds = max(figures.slowest_seconds, entry["seconds"] or 0.0)
        figures.note(name, "completed" if entry["url"] else f"failed: {entry['error_code']}")


def report(figures: Figures, count: int, seconds: float, service_mib: tuple[float, float]) -> None:
    print(f"{count} pictures in {seconds:.0f} s; slowest {figures.slowest_seconds:.1f} s")
    before, after = service_mib
    print(f"memory of a child at most {figures.child_mib:.0f} MiB; of the service {before:.0f}, later {after:.0f} MiB")
    totals: Counter[str] = Counter()
    for (_, outcome), number in figures.outcomes.items():
        totals[outcome] += number
    for outcome, number in totals.most_common():
        kinds = {kind: count for (kind, ended), count in sorted(figures.outcomes.items()) if ended == outcome}
        print(f"{number:6}  {outcome:<32} {', '.join(f'{kind} {count}' for kind, count in kinds.items())}")
    for fault in figures.faults:
        print(f"FAULT {fault}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=5000)
    parser.add_argument("--first", type=int, default=0, help="number of the first picture, to have others")
    options = parser.parse_args()
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), log_level="WARNING") as service:
        service.wait_until("/ready")
        before = memory_mib(service.process.pid, "VmRSS")
        figures = attack(service, range(options.first, options.first + options.pictures))
        after = memory_mib(service.process.pid, "VmRSS")
    report(figures, options.pictures, time.monotonic() - begin, (before, after))
    return 1 if figures.faults else 0


if __name__ == "__main__":
    sys.exit(main())
