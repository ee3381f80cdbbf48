"""How many cores this process may use."""

import contextlib
import os
from pathlib import Path

CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


def cores() -> int:
    """Cores that this process may use: of the machine, of its affinity, of its container's quota."""
    affinity = getattr(os, "sched_getaffinity", None)
    count = len(affinity(0)) if affinity else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):
        quota, period = CPU_MAX.read_text().split()
        count = min(count, max(1, round(int(quota) / int(period))))
    return count


def threads_for(asked: int | None) -> int | None:
    """Threads of a model's run: as asked; else None, the library's choice, unless a quota or an affinity
    allows fewer cores than the machine has, which libraries overlook."""
    if asked is not None:
        return asked
    allowed = cores()
    return allowed if allowed < (os.cpu_count() or 1) else None
