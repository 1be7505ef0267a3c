"""`python -m models list | pull NAME… | verify [NAME…]`: the weights of this machine, by hand."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from errors import ServiceError
from models.catalog import MODELS, REFINERS, Model, aliases_of, find_weights
from models.weights import WeightStore, open_store

_MEGABYTE = 1_000_000
_INTERRUPTED = 130
_ALL = (*MODELS.values(), *REFINERS.values())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 only when what was asked for happened."""
    options = _parser().parse_args(arguments)
    store = open_store(os.environ)
    try:
        if options.command == "pull":
            return _each(options.names, lambda model: _pull(store, model))
        if options.command == "verify":
            return _verify(store, options.names)
        return _list(store)
    except KeyboardInterrupt:
        print("Interrupted. Nothing half-done was kept.", file=sys.stderr)
        return _INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models", description="The model weights of this machine.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("list", help="show every model and refiner, and which are installed")
    pull = commands.add_parser("pull", help="download models that are missing or damaged")
    pull.add_argument("names", nargs="+", metavar="NAME")
    verify = commands.add_parser("verify", help="read installed models again and compare their checksums")
    verify.add_argument("names", nargs="*", metavar="NAME", help="all that are on disk unless named")
    return parser


def _list(store: WeightStore) -> int:
    print(f"Weights folder: {store.home}")
    rows = [("NAME", "INSTALLED", "SIZE", "LICENCE", "COMMERCIAL USE", "ALIASES")]
    rows += [_row(store, model) for model in _ALL]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


def _row(store: WeightStore, model: Model) -> tuple[str, str, str, str, str, str]:
    state = {"installed": "yes", "missing": "no", "damaged": "damaged"}[store.state(model)]
    size = "-" if model.bytes is None else f"{model.bytes / _MEGABYTE:.1f} MB"
    installed = "remote" if model.kind == "remote" else state
    return model.name, installed, size, model.licence, model.commercial_use, ", ".join(aliases_of(model)) or "-"


def _verify(store: WeightStore, names: Sequence[str]) -> int:
    on_disk = [model.name for model in _ALL if store.state(model) != "missing"]
    if not names and not on_disk:
        print("No model is installed, so there is nothing to verify.", file=sys.stderr)
        return 1
    return _each(names or on_disk, lambda model: _verify_one(store, model))


def _verify_one(store: WeightStore, model: Model) -> str:
    store.verify(model)
    return "in place (a file of your own: there is no checksum to compare)" if model.kind == "custom" else "verified"


def _pull(store: WeightStore, model: Model) -> str:
    console = Console(stderr=True)
    paths = _pull_with_bar(store, model, console) if console.is_terminal else store.pull(model, _Lines(model.name))
    return f"installed, {', '.join(str(path) for path in paths)}"


def _pull_with_bar(store: WeightStore, model: Model, console: Console) -> tuple[Path, ...]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(model.name, total=None)
        return store.pull(model, lambda done, total: progress.update(task, completed=done, total=total))


class _Lines:
    """Progress for a log file: a line for every tenth, or for every 20 MB when the size is unknown."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._last_step = 0

    def __call__(self, done: int, total: int | None) -> None:
        step = done // (total / 10 if total else 20 * _MEGABYTE)
        if step == self._last_step:
            return
        self._last_step = int(step)
        of_total = f" of {total / _MEGABYTE:.1f}" if total else ""
        print(f"{self._name}: {done / _MEGABYTE:.1f}{of_total} MB", file=sys.stderr, flush=True)


def _each(names: Sequence[str], act: Callable[[Model], str]) -> int:
    failed = False
    for name in names:
        try:
            print(f"{name}: {act(find_weights(name))}", flush=True)
        except ServiceError as error:
            print(f"{name}: {error}", file=sys.stderr, flush=True)
            failed = True
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
