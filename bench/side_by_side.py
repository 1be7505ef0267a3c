"""Photos per second and processor seconds per photo: the model alone, a loop over rembg, rembg's server, this service.

    python -m bench.side_by_side --models u2netp --megapixels 12 --rounds 3
    python -m bench.side_by_side --quick

In each round all do the same photos, one contender after the other, and each is started afresh. Prints Markdown.
"""

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median

from bench.contenders import CORES, limit, rembg_loop, rembg_server, service
from bench.stages import operation_seconds, service_seconds
from bench.throughput import Contender, Run, camera_photos, measure
from errors import ServiceError
from models import catalog
from models.weights import open_store

Start = Callable[[str], AbstractContextManager[Contender]]
LIMIT, SERVICE = "limit", "service"
# Where there is more than one way, the one that is faster here is measured: users of rembg may choose it, too.
WAYS: Mapping[str, Mapping[str, Start]] = {
    LIMIT: {"one thread each": limit},
    "loop": {"one thread each": partial(rembg_loop, threads=1), "default threads": partial(rembg_loop, threads=0)},
    "server": {"one thread": partial(rembg_server, threads=1), "default threads": partial(rembg_server, threads=0)},
    SERVICE: {"defaults": service},
}
TITLES = {LIMIT: "limit", "loop": "`rembg.remove` loop", "server": "`rembg s`", SERVICE: "this service"}
# So many photos a core before each measurement, and for choosing between ways.
WARM_UP, TRIAL = 2, 4


@dataclass(frozen=True)
class Photos:
    """Camera-like photos of one size; those to warm up with are none of the others."""

    megapixels: float
    measured: Sequence[Path]
    warm_up: Sequence[Path]

    @classmethod
    def make(cls, folder: Path, megapixels: float, count: int) -> "Photos":
        paths = camera_photos(folder, megapixels, count + WARM_UP * CORES)
        return cls(megapixels, paths[:count], paths[count:])

    @property
    def megabytes(self) -> float:
        return median(path.stat().st_size for path in self.measured) / 1e6


def run_once(start: Start, model: str, warm_up: Sequence[Path], paths: Sequence[Path]) -> Run:
    with start(model) as contender:
        contender.work(warm_up)
        return measure(contender, paths)


def fastest_way(name: str, model: str, photos: Photos) -> str:
    ways = WAYS[name]
    if len(ways) == 1:
        return next(iter(ways))
    trial = photos.measured[: TRIAL * CORES]
    return max(ways, key=lambda way: run_once(ways[way], model, photos.warm_up, trial).per_second)


def side_by_side(names: Sequence[str], model: str, photos: Photos, rounds: int) -> Mapping[str, Sequence[Run]]:
    """Runs by contender, one for each round."""
    chosen = {name: fastest_way(name, model, photos) for name in names}
    for name, way in chosen.items():
        print(f"- {TITLES[name]}: {way}", flush=True)
    runs: dict[str, list[Run]] = {name: [] for name in names}
    for number in range(rounds):
        for name, way in chosen.items():
            runs[name].append(run_once(WAYS[name][way], model, photos.warm_up, photos.measured))
        rates = ", ".join(f"{TITLES[name]} {runs[name][-1].per_second:.2f}/s" for name in names)
        print(f"round {number + 1}: {rates}", file=sys.stderr, flush=True)
    return runs


def comparison(runs: Mapping[str, Sequence[Run]]) -> list[str]:
    """A table of medians; ratios are taken within a round, where the machine was in the same mood."""
    lines = [
        "| | photos/s | of the limit | CPU s per photo | limit's CPU of it | client's CPU s | MB out |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, own in runs.items():
        pairs = list(zip(own, runs.get(LIMIT, ()), strict=False))
        cells = (
            TITLES[name],
            f"{median(run.per_second for run in own):.2f}",
            f"{median(run.per_second / its.per_second for run, its in pairs):.2f}" if pairs else "–",
            f"{median(run.all_cpu_seconds for run in own):.3f}",
            f"{median(its.all_cpu_seconds / run.all_cpu_seconds for run, its in pairs):.2f}" if pairs else "–",
            f"{median(run.client_cpu_seconds for run in own):.3f}",
            f"{median(run.output_bytes for run in own) / 1e6:.2f}" if own[0].output_bytes else "–",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def stage_seconds(model: str, photos: Photos, runs: Mapping[str, Sequence[Run]]) -> dict[str, float]:
    """Processor seconds of the service for one photo by stage, and their sum beside the limit's."""
    found = operation_seconds(model, photos.warm_up, photos.measured)
    if SERVICE in runs:
        children = median(run.cpu_seconds["children"] for run in runs[SERVICE])
        # What children do around the operation: storage, hash, pipes, their own start.
        found["around"] = children - sum(found.values())
    found |= service_seconds(model, photos.warm_up, photos.measured)
    found["**sum**"] = sum(found.values())
    if LIMIT in runs:
        found["the limit's"] = median(run.all_cpu_seconds for run in runs[LIMIT])
    return found


def stage_table(columns: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Milliseconds: a row for each stage, a column for each size."""
    lines = [f"| CPU ms per photo | {' | '.join(columns)} |", "| --- |" + " --- |" * len(columns)]
    for stage in next(iter(columns.values())):
        cells = (f"{1000 * seconds[stage]:.1f}" for seconds in columns.values())
        lines.append(f"| {stage} | {' | '.join(cells)} |")
    return lines


def machine() -> str:
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    processor = names[0].partition(": ")[2] if names else platform.machine()
    packages = ", ".join(f"{name} {version(name)}" for name in ("onnxruntime", "rembg", "pillow", "numpy"))
    return (
        f"{datetime.now(UTC):%d %B %Y}, {CORES} cores ({processor}), load {os.getloadavg()[0]:.1f} at the start, "
        f"Python {platform.python_version()}, {packages}"
    )


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["u2netp", "u2net"], metavar="MODEL")
    parser.add_argument("--megapixels", nargs="+", type=float, default=[0.5, 2.0, 12.0], metavar="SIZE")
    parser.add_argument("--photos", type=int, default=60, help="photos in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--contenders", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--quick", action="store_true", help="u2netp only, one round of 12 photos of each size")
    options = parser.parse_args(arguments)
    if options.quick:
        options.models, options.photos, options.rounds = ["u2netp"], 12, 1
    return options


def check_weights(models: Sequence[str]) -> None:
    """rembg finds the same files, since it looks in the same place; what is missing it would download meanwhile."""
    try:
        for model in models:
            open_store(os.environ).locate(catalog.find(model))
    except ServiceError as error:
        sys.exit(str(error))


def show(lines: Iterable[str]) -> None:
    print("\n".join(lines), end="\n\n", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parsed(arguments)
    check_weights(options.models)
    show([machine()])
    for model in options.models:
        stages = {}
        for megapixels in options.megapixels:
            with tempfile.TemporaryDirectory() as folder:
                photos = Photos.make(Path(folder), megapixels, options.photos)
                size = f"{megapixels:g} MP"
                show([f"### {model}, {size}, {options.rounds} × {options.photos} photos of {photos.megabytes:.2f} MB"])
                runs = side_by_side(options.contenders, model, photos, options.rounds)
                show(["", *comparison(runs)])
                stages[size] = stage_seconds(model, photos, runs)
        show([f"### {model}: where the service's time goes", "", *stage_table(stages)])


if __name__ == "__main__":
    main()
