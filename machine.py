"""What this machine, or the part of it that we were given, has to offer."""

import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def cores(cgroup: Path = CGROUP) -> int:
    """Processors for us: those that we may run on, and no more than a container's limit (cgroup v2) pays for."""
    # Not on macOS.
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, _, period = _limit(cgroup / "cpu.max").partition(" ")
    return max(1, min(allowed, int(quota) // int(period))) if quota.isdecimal() else allowed


def memory_bytes(cgroup: Path = CGROUP) -> int:
    """Physical memory for us: the machine's, or a container's limit (cgroup v2)."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _limit(cgroup / "memory.max")
    return min(physical, int(limit)) if limit.isdecimal() else physical


def _limit(file: Path) -> str:
    """`max`, or nothing where there are no such limits."""
    return file.read_text().strip() if file.exists() else ""
