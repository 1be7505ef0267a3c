"""The short run of bench/kills.py: a load goes on while the service is killed at random moments."""

import random
from pathlib import Path

from bench.kills import kill_while_loaded, photos
from bench.throughput import SAMPLES

KILLS = 6
FILES = 60


def test_kills_at_random_moments_lose_nothing_and_do_nothing_twice(tmp_path: Path) -> None:
    chance = random.Random(20)
    figures = kill_while_loaded(tmp_path, KILLS, photos(FILES, SAMPLES, chance), chance)
    assert figures.faults == []
    assert (figures.kills, figures.completed) == (KILLS, FILES)
    assert figures.lost_leases > 0
