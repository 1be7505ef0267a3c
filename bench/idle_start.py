"""How soon an idle service begins with a picture: from the row of its job to the claim of its file.

    python -m bench.idle_start

One small picture at a time, each with bytes of its own, and a pause after each, so that nothing is under way.
"""

import argparse
import contextlib
import os
import sqlite3
import tempfile
import time
from datetime import datetime
from pathlib import Path
from statistics import median, quantiles

from tests.service import SAMPLES, Service, running

PAUSE_SECONDS = 0.3
TOOK = "SELECT jobs.created_at, job_files.started_at FROM jobs JOIN job_files ON job_files.job_id = jobs.id"


def milliseconds(service: Service, pictures: int) -> list[float]:
    """Of each picture, in the order of the queue."""
    photo = SAMPLES[0].read_bytes()
    for number in range(pictures):
        service.wait_for(service.submit([(f"{number}.jpg", photo + os.urandom(8))]))
        time.sleep(PAUSE_SECONDS)
    with contextlib.closing(sqlite3.connect(service.data_dir / "queue.db")) as database:
        rows = database.execute(f"{TOOK} ORDER BY job_files.id").fetchall()
    return [
        1000 * (datetime.fromisoformat(began) - datetime.fromisoformat(queued)).total_seconds()
        for queued, began in rows
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=50)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as service:
        service.wait_until("/ready")
        took = milliseconds(service, options.pictures)
    print(
        f"{len(took)} pictures: median {median(took):.1f} ms, 9 of 10 within {quantiles(took, n=10)[-1]:.1f} ms", end=""
    )
    print(f", slowest {max(took):.1f} ms")


if __name__ == "__main__":
    main()
