"""How much memory tiles may take, and the tiles that fit."""

from dataclasses import dataclass
from pathlib import Path

import psutil

CORES = (512, 384, 256, 192, 128, 64, 32)
"""Sides of a tile in photo pixels without its halo. Few, so that a little more or less free memory gives the
same tiles and so the same picture; larger ones save little work."""

BYTES = 640
"""Bytes that a scene model needs per pixel of its output: 2.5 layers of 64 features in fp32, as the published
RRDB networks do. Compact ones take a sixth."""

SHARE = 4
"""Without a budget given, tiles take one part in so many of the free memory ..."""

MOST = 1 << 30
"""... and at most so many bytes."""

BATCH = 8
"""Most tiles in one run on a GPU. A CPU is as fast with one (measured: compact and RRDB, OpenVINO)."""

_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Layout:
    """Largest side of a tile without its halo, and the number of tiles in one run."""

    core: int
    batch: int


def free_share() -> int:
    """Bytes for tiles where the user names none: a share of what the machine, or its container, has free."""
    free = psutil.virtual_memory().available
    limit, used = _number(_CGROUP / "memory.max"), _number(_CGROUP / "memory.current")
    if limit is not None and used is not None:
        free = min(free, limit - used)
    return min(max(free, 0) // SHARE, MOST)


def layout(budget: int, *, scale: int, halo: int, gpu: bool) -> Layout:
    """The largest tiles that fit into `budget` bytes; the smallest where none does.

    Args:
        scale: of the largest picture that the model makes of a tile.
        halo: pixels of context around a tile.
        gpu: where several tiles in one run are faster.
    """
    costs = {core: BYTES * (scale * (core + 2 * halo)) ** 2 for core in CORES}
    core = next((core for core in CORES if costs[core] <= budget), CORES[-1])
    return Layout(core, min(max(budget // costs[core], 1), BATCH) if gpu else 1)


def _number(path: Path) -> int | None:
    """The number in a file of the control group; None without one, or where it says "max"."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
