"""How much memory tiles may take, and the tiles that fit."""

import contextlib
from pathlib import Path

import psutil

CORES = (512, 384, 256, 192, 128, 64, 32)
"""Sides of a tile in photo pixels without its halo. Few, so that a little more or less free memory gives the
same tiles and so the same picture; larger ones save little work."""

BYTES = 640
"""Bytes that a scene model needs per pixel of its output: 2.5 layers of 64 features in fp32, as the published
RRDB networks do."""

COMPACT = 6  #: how many times as little embedded models take

SHARE = 4  #: without a budget given, tiles take one part in so many of the free memory
MOST = 1 << 30  #: and at most so many bytes
BATCH = 8  #: most tiles in one run on a GPU. A CPU is as fast with one (measured: compact and RRDB, OpenVINO)

_CGROUP = Path("/sys/fs/cgroup")


def free_bytes() -> int:
    """What the machine, or its container, has free."""
    free = int(psutil.virtual_memory().available)
    with contextlib.suppress(OSError, ValueError):  # no control group, or one without a limit: "max"
        limit, used = (int((_CGROUP / f"memory.{name}").read_text()) for name in ("max", "current"))
        free = min(free, limit - used)
    return max(free, 0)


def free_share() -> int:
    """Bytes for tiles where the user names none."""
    return min(free_bytes() // SHARE, MOST)


def layout(budget: int, *, scale: int, halo: int, gpu: bool) -> tuple[int, int]:
    """The largest side of a tile without its halo that fits into `budget` bytes, the smallest where none
    does, and the number of tiles in one run: on a `gpu` several are faster.

    `scale` is that of the largest picture that the model makes of a tile, `halo` pixels of context around it.
    """
    costs = {core: BYTES * (scale * (core + 2 * halo)) ** 2 for core in CORES}
    core = next((core for core in CORES if costs[core] <= budget), CORES[-1])
    return core, min(max(budget // costs[core], 1), BATCH) if gpu else 1
