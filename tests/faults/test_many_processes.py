"""The short run of bench/many_processes.py: four processes complete the files of one queue."""

from pathlib import Path

from bench.many_processes import PROCESSES, race

FILES = 120


def test_four_processes_complete_every_file_exactly_once(tmp_path: Path) -> None:
    figures = race(tmp_path, FILES)
    assert figures.faults == ()
    assert sum(figures.shares) == FILES
    assert len(figures.shares) == PROCESSES
    assert all(share > 0 for share in figures.shares)
