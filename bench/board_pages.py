"""How long a page of jobs with filters takes in histories of several lengths.

    python -m bench.board_pages [--sizes 10000 1000000] [--rounds 20]

The larger table takes some minutes to make (2 GB). Ends with 1 when a page of the first takes longer than 100 ms.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from bench.filled_queue import fill
from queue_manager import QueueManager
from web import queue_routes
from web.filters import ListQuery

LONGEST_MS = 100.0
BEGINNING_OF_TIME = "2020-01-01T00:00:00Z"


def questions(queue: QueueManager) -> Mapping[str, ListQuery]:
    """By what they look for; the second page of the commonest as well."""
    (some,) = queue.list_jobs(None, 1).jobs
    common = ListQuery(text="photo")
    asked = {
        "all": ListQuery(),
        "one state": ListQuery(status="failed"),
        "since": ListQuery(since=BEGINNING_OF_TIME),
        "a model that most have": ListQuery(model="u2netp"),
        "a model that none has": ListQuery(model="u2net"),
        "a priority that none has": ListQuery(priority="high"),
        "a text that most have": common,
        "a text that some have": ListQuery(text="photo-3"),
        "a text that none has": ListQuery(text="ü.png"),
        "beginning of an id": ListQuery(text=some.id[:8]),
        "state and text": ListQuery(status="failed", text="PHOTO"),
        "everything": ListQuery(status="completed", model="u2netp", text="photo", since=BEGINNING_OF_TIME),
    }
    cursor = queue_routes.jobs(queue, common).next
    return asked | {"its second page": common.model_copy(update={"cursor": cursor})}


def measure(queue: QueueManager, rounds: int) -> Mapping[str, Sequence[float]]:
    """Milliseconds of each question in each round."""
    asked = questions(queue)
    took: dict[str, list[float]] = {name: [] for name in asked}
    for _ in range(rounds):
        for name, query in asked.items():
            begin = time.perf_counter()
            queue_routes.jobs(queue, query)
            took[name].append((time.perf_counter() - begin) * 1000)
    return took


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 1_000_000], help="jobs in the table")
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    missed = []
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as folder:
            queue = fill(Path(folder), size, pending=min(10_000, size // 10))
            load = os.getloadavg()[0]
            print(f"{size:,} jobs; milliseconds, median and longest; load {load:.1f} on {os.cpu_count()} cores")
            for name, took in measure(queue, options.rounds).items():
                print(f"  {name:26} {median(took):7.1f} {max(took):7.1f}")
                if size == options.sizes[0] and median(took) > LONGEST_MS:
                    missed.append(name)
            queue.database.close()
    for name in missed:
        print(f"MISSED {name}: a page takes longer than {LONGEST_MS:.0f} ms")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
