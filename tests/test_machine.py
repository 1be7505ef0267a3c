"""machine: what a container or a unit may use counts, not what its host has."""

import os
from pathlib import Path

import pytest

from machine import cores, memory_bytes

PHYSICAL = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.fixture
def eight_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(8)))


def group(folder: Path, **limits: str) -> Path:
    """A control group as the kernel shows it: cpu="200000 100000" is its file cpu.max."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, limit in limits.items():
        (folder / f"{name}.max").write_text(limit + "\n")
    return folder


def in_group(tmp_path: Path, path: str) -> Path:
    file = tmp_path / "cgroup-of-process"
    file.write_text(f"1:name=systemd:/elsewhere\n0::{path}\n")
    return file


@pytest.mark.usefixtures("eight_processors")
@pytest.mark.parametrize(
    ("quota", "expected"),
    [("max 100000", 8), ("200000 100000", 2), ("250000 50000", 5), ("50000 100000", 1), ("9900000 100000", 8)],
)
def test_a_containers_share_of_the_processors(tmp_path: Path, quota: str, expected: int) -> None:
    assert cores(group(tmp_path / "groups", cpu=quota), tmp_path / "none") == expected


def test_a_containers_memory(tmp_path: Path) -> None:
    assert memory_bytes(group(tmp_path / "groups", memory="536870912"), tmp_path / "none") == 512 * 2**20
    assert memory_bytes(group(tmp_path / "groups", memory="max"), tmp_path / "none") == PHYSICAL


@pytest.mark.usefixtures("eight_processors")
def test_the_groups_around_ours_bind_us_as_well(tmp_path: Path) -> None:
    """As systemd makes them for a unit in a slice."""
    groups = group(tmp_path / "groups")
    group(groups / "a.slice", cpu="300000 100000", memory=str(2**30))
    group(groups / "a.slice" / "b.service", cpu="max 100000", memory=str(2**31))
    own = in_group(tmp_path, "/a.slice/b.service")
    assert (cores(groups, own), memory_bytes(groups, own)) == (3, 2**30)


def test_without_groups_it_is_what_the_system_says(tmp_path: Path) -> None:
    nothing = tmp_path / "none"
    assert cores(nothing, nothing) == len(os.sched_getaffinity(0))
    assert memory_bytes(nothing, nothing) == PHYSICAL
    unreadable = group(tmp_path / "groups")
    (unreadable / "cpu.max").mkdir()
    assert cores(unreadable, nothing) == len(os.sched_getaffinity(0))


def test_only_the_processors_that_we_may_run_on(tmp_path: Path) -> None:
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert cores(tmp_path, tmp_path / "none") == 1
    finally:
        os.sched_setaffinity(0, allowed)
