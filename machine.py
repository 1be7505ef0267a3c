"""What this machine, or the part of it that we were given, has to offer."""

import os
from collections.abc import Iterator
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")


def cores(cgroups: Path = CGROUPS, own: Path = OWN_CGROUP) -> int:
    """Processors for us: those that we may run on, and no more than a container or unit is limited to (cgroup v2)."""
    # Not on macOS.
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [limit.split() for limit in _limits("cpu.max", cgroups, own)]
    return max(1, min([allowed, *(int(quota) // int(period) for quota, period in quotas)]))


def memory_bytes(cgroups: Path = CGROUPS, own: Path = OWN_CGROUP) -> int:
    """Physical memory for us: the machine's, or what a container or unit is limited to (cgroup v2)."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([physical, *(int(limit) for limit in _limits("memory.max", cgroups, own))])


def _limits(name: str, cgroups: Path, own: Path) -> Iterator[str]:
    """Of our group and of those around it, which bind us as well; none where there are no such limits."""
    lines = _text(own).splitlines()
    path = next((line.removeprefix("0::") for line in lines if line.startswith("0::")), "/")
    folder = cgroups / path.lstrip("/")
    for group in (folder, *folder.parents):
        if group.is_relative_to(cgroups) and (limit := _text(group / name)) and not limit.startswith("max"):
            yield limit


def _text(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:  # no cgroups of this version, or none that we may look at
        return ""
