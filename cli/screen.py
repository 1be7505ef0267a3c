"""What people and programs get to see."""

import json
from collections.abc import Iterable

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from cli.trouble import Json

STYLES = {"pending": "", "processing": "cyan", "completed": "green", "failed": "red", "cancelled": "yellow"}


class Screen:
    """Answers go to stdout, trouble to stderr; plain in a pipe or with NO_COLOR; with --json only JSON on stdout."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self._out = Console(stderr=as_json)
        self._err = Console(stderr=True)
        self.live = self._out.is_terminal and not self._out.no_color
        if self.live and self._err.is_terminal:
            # One console for one terminal, or a sentence would land inside a progress bar.
            self._err = self._out

    def line(self, text: object, style: str = "") -> None:
        """A line for people."""
        if not self.as_json:
            self._out.print(Text(clean(text), style), soft_wrap=True)

    def note(self, text: object) -> None:
        """Something that people should know, and that is no failure."""
        self._err.print(Text(clean(text), "yellow"), soft_wrap=True)

    def trouble(self, text: object) -> None:
        self._err.print(Text(clean(text), "red"), soft_wrap=True)

    def failures(self, entries: Iterable[Json]) -> None:
        """A line for each file that has no result, with the reason."""
        for entry in entries:
            reason = entry.get("reason") or entry.get("error") or entry["status"]
            self.trouble(f"{entry['filename']}: {reason}")

    def answer(self, document: Json) -> None:
        """A document for programs."""
        if self.as_json:
            print(json.dumps(document), flush=True)

    def job(self, job: Json, more: str = "") -> None:
        """A job in one line."""
        progress = job["progress"]
        told = f"{progress['processed']} of {progress['total']} done"
        if progress["failed"]:
            told += f", {progress['failed']} failed"
        note = job.get("phase_detail")
        if not job.get("results"):  # else `failures` gives the reason of each file
            note = note or job.get("error")
        if note:
            told += f" ({note})"
        self.line(f"{job['id']}  {job['status']:<10}  {told}{more}", STYLES.get(job["status"], ""))

    def bytes_bar(self) -> Progress:
        """A progress bar that counts bytes; invisible unless on a terminal."""
        return self._bar(DownloadColumn())

    def files_bar(self) -> Progress:
        """A progress bar that counts files; invisible unless on a terminal."""
        return self._bar(MofNCompleteColumn())

    def _bar(self, column: DownloadColumn | MofNCompleteColumn) -> Progress:
        words = TextColumn("{task.description}", markup=False)
        return Progress(words, BarColumn(), column, console=self._out, transient=True, disable=not self.live)


def clean(text: object) -> str:
    """Text from outside made safe for a terminal: control and invisible characters are shown as escapes."""
    return "".join(shown(character) for character in str(text))


def shown(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()
