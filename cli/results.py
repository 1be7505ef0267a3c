"""Results on their way into a folder."""

import itertools
import os
from collections.abc import Sequence
from pathlib import Path

from cli.client import Client, job_path
from cli.collect import Picture
from cli.screen import Screen
from cli.trouble import ConnectionLost, Json, Trouble

# The longest name that the usual file systems take (NAME_MAX).
MAX_NAME_BYTES = 255


def checked_folder(argument: str) -> Path:
    """The folder that --out names, which need not exist yet. Raises Trouble if it cannot be one."""
    if not argument:
        raise Trouble("--out is empty: name the folder to save the results in.")
    if Path(argument).exists() and not Path(argument).is_dir():
        raise Trouble(f"--out {argument} is a file: name the folder to save the results in.")
    return Path(argument)


class Results:
    """Fetches results to a folder and overwrites nothing; tells in `saved` and `failed` what became of each.

    `sources` has the picture of each that was saved.
    """

    def __init__(self, client: Client, screen: Screen, folder: Path) -> None:
        self.saved: list[str] = []
        self.sources: dict[str, str] = {}
        self.failed: list[Json] = []
        self._client = client
        self._screen = screen
        self._folder = folder

    def save(self, job: Json, pictures: Sequence[Picture]) -> None:
        """Fetch the results of an ended job, which was made of these pictures.

        What cannot be saved is noted, and the others are saved. Raises ConnectionLost.
        """
        for index, (entry, picture) in enumerate(zip(job["results"], pictures, strict=False)):
            if not entry.get("url"):
                continue
            wanted = self._folder / picture.name
            try:
                wanted = self._folder / picture.name.with_suffix(extension_of(entry["content_type"]))
                target = free_path(wanted)
                self._fetch(f"{job_path(job['id'])}/result/{index}", target)
            except ConnectionLost:
                raise
            except (Trouble, OSError, ValueError) as error:  # ValueError: a name that no file can have
                self.failed.append(entry | {"filename": str(wanted), "reason": why_not_saved(error)})
            else:
                self.saved.append(str(target))
                self.sources[str(target)] = str(picture.source)
                self._screen.line(f"Saved {target} from {picture.source}")

    def _fetch(self, path: str, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{os.urandom(16).hex()}.part")
        try:
            with part.open("xb") as file:
                self._client.download(path, file)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)


def extension_of(content_type: str) -> str:
    kind = content_type.rpartition("/")[2]
    return ".jpg" if kind == "jpeg" else f".{kind}"


def why_not_saved(error: Exception) -> str:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"Cannot be saved: {reason.rstrip('.')}."


def free_path(wanted: Path) -> Path:
    """The wanted path, or the first of `name (2).png`, `name (3).png` … that is free; shortened to fit."""
    path = wanted.with_name(fitting(wanted.stem, wanted.suffix))
    for number in itertools.count(2):
        if not path.exists():
            break
        path = wanted.with_name(fitting(wanted.stem, f" ({number}){wanted.suffix}"))
    return path


def fitting(stem: str, end: str) -> str:
    """A file name of stem and end, from whose stem as many characters are cut as are too many."""
    stem = stem[:MAX_NAME_BYTES]
    while stem and len(os.fsencode(stem + end)) > MAX_NAME_BYTES:
        stem = stem[:-1]
    return stem + end
