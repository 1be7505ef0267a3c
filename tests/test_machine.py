"""machine: what a container may use counts, not what its host has."""

import os
from pathlib import Path

import pytest

from machine import cores, memory_bytes


def test_without_limits_it_is_what_the_system_says(tmp_path: Path) -> None:
    assert cores(tmp_path) == len(os.sched_getaffinity(0))
    assert memory_bytes(tmp_path) == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    (tmp_path / "cpu.max").write_text("max 100000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert cores(tmp_path) == len(os.sched_getaffinity(0))
    assert memory_bytes(tmp_path) == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.mark.parametrize(("quota", "expected"), [("100000 100000", 1), ("50000 100000", 1), ("190000 100000", 1)])
def test_a_containers_share_of_the_processors(tmp_path: Path, quota: str, expected: int) -> None:
    (tmp_path / "cpu.max").write_text(quota + "\n")
    assert cores(tmp_path) == expected


def test_a_containers_memory(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("536870912\n")
    assert memory_bytes(tmp_path) == 512 * 2**20


def test_only_the_processors_that_we_may_run_on(tmp_path: Path) -> None:
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert cores(tmp_path) == 1
    finally:
        os.sched_setaffinity(0, allowed)
