"""The short run of bench/child_deaths.py: children die while a service works."""

import random
from pathlib import Path

from bench.child_deaths import JOB_FILES, start, work_and_die

KILLS = 6


def test_each_death_of_a_child_costs_one_attempt_of_one_file(tmp_path: Path) -> None:
    with start(tmp_path) as service:
        figures = work_and_die(service, KILLS, random.Random(1))
    assert figures.faults == []
    assert len(figures.killed) == KILLS
    assert KILLS // 2 <= sum(figures.charged.values()) <= KILLS
    assert figures.files >= JOB_FILES * 8
