"""How the queue's own steps grow with the number of jobs in the table, and how many files a second it can handle.

    python -m bench.queue_scale [--sizes 1000 100000 1000000] [--rounds 300]

Rounds go through all sizes in turn, so that whatever else the machine does hits each alike. Nothing is looked at by a
model here. With the default sizes it takes some ten minutes, a third of it to make the tables (2 GB).
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from job import JobStatus
from queue_manager import QueueManager

MOST_PENDING = 10_000
GROWTH_ALLOWED = 1.5
LISTS: Sequence[JobStatus | None] = (None, *JobStatus)


@dataclass
class Bench:
    """One queue and what its steps took, in seconds."""

    queue: QueueManager
    chance: random.Random
    waiting: list[str]
    ended: list[str]
    took: dict[str, list[float]] = field(default_factory=dict)
