"""Which pictures are meant, and how they are split into jobs."""

import glob
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from cli.trouble import Trouble

EXTENSIONS = {".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".heic", ".heif", ".avif"}
ADDRESS = re.compile(r"https?://", re.IGNORECASE)
# Small enough that the first pictures are worked on while others still travel.
JOB_BYTES = 256 * 2**20
# Room for the multipart headers of a picture with the longest file name.
PART_BYTES = 2048


class Picture(NamedTuple):
    """A file, or the address or name of a picture, and where its result belongs below the output folder."""

    source: Path | str
    name: Path

    @property
    def size(self) -> int:
        """Bytes that are sent for it, beside its headers."""
        return 0 if isinstance(self.source, str) else self.source.stat().st_size


def collect(argument: str, recursive: bool, out: str | None) -> list[Picture]:
    """The pictures that an argument means: a file, an address, or those of a folder or pattern in natural order.

    Earlier results are left out: what lies in the folder `out`, if that is inside the folder that was named.
    Raises Trouble if there are none.
    """
    if ADDRESS.match(argument):
        return [Picture(argument, name_of(argument))]
    root = Path(argument)
    if root.is_dir():
        pictures = pictures_of_folder(root, recursive, Path(out or argument))
        if not pictures:
            raise Trouble(f"No picture in {argument}; see --recursive.")
        return pictures
    found = [root] if root.exists() else sorted(map(Path, glob.glob(argument, recursive=True)), key=natural)
    pictures = [Picture(path, Path(path.name)) for path in found if path.is_file()]
    if not pictures:
        raise Trouble(f"No such file: {argument}.")
    return pictures


def name_of(address: str) -> Path:
    """The last part of an address without what follows a `?`."""
    path = re.split(r"[?#]", ADDRESS.sub("", address), maxsplit=1)[0]
    name = Path(unquote(path.partition("/")[2])).name
    return Path(name if name.strip(".") else "image")


def pictures_of_folder(root: Path, recursive: bool, out: Path) -> list[Picture]:
    pictures = []
    out_is_inside = is_inside(out, root)
    for path in root.glob("**/*" if recursive else "*"):
        name = path.relative_to(root)
        is_hidden = any(part.startswith(".") for part in name.parts)
        if path.suffix.lower() not in EXTENSIONS or is_hidden or not path.is_file():
            continue
        if not (out_is_inside and is_inside(path, out)):
            pictures.append(Picture(path, name))
    return sorted(pictures, key=lambda picture: natural(picture.name))


def is_inside(path: Path, folder: Path) -> bool:
    """Whether a path is below a folder; the folder itself is not."""
    return folder.resolve() in path.resolve().parents


def natural(path: Path) -> list[tuple[int, str]]:
    """Sort key that puts img2 before img10."""
    words = re.split(r"(\d+)", path.as_posix().casefold())
    return [(int(word), "") if word.isdecimal() else (-1, word) for word in words]


def batches(pictures: Sequence[Picture], max_files: int, max_bytes: int) -> list[list[Picture]]:
    """Jobs of at most so many files and bytes, in the same order; a picture above `max_bytes` goes alone."""
    jobs: list[list[Picture]] = []
    space = 0
    for picture in pictures:
        needed = picture.size + PART_BYTES
        if needed > space or len(jobs[-1]) == max_files:
            jobs.append([])
            space = min(max_bytes, JOB_BYTES)
        jobs[-1].append(picture)
        space -= needed
    return jobs
