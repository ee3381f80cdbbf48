"""How many processes, and how many threads each: measured on the first photos of the archive itself.

Each candidate restores some photos that are to be restored anyway.
"""

import contextlib
import json
import platform
import threading
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import platformdirs

from revisage.batch.jobs import Job, Outcome
from revisage.errors import SaveError
from revisage.files import write_atomically
from revisage.runtime.cores import cores

PROCESS_BYTES = 1536 << 20  #: memory that a process with two photos of some ten megapixels in hand may take
PHOTOS_PER_PROCESS = 6  #: photos that a candidate restores for each of its processes before it is judged
GAIN = 1.05  #: a layout of more processes, which take more memory, must be so many times as fast


@dataclass(frozen=True)
class Layout:
    """Processes, and threads of a model's run in each."""

    processes: int
    threads: int


Engine = Callable[[Sequence[Job], Layout, Callable[[], None]], Generator[Outcome, None, None]]
"""Restores photos by a layout; calls its third argument when the models are open."""


def candidates(cores: int, memory: int) -> list[Layout]:
    """Layouts that use all cores: one process, and doublings of it as far as `memory` bytes allow."""
    most = max(1, min(cores, memory // PROCESS_BYTES))
    return [Layout(1 << power, max(1, cores >> power)) for power in range(most.bit_length())]


def calibrated(
    jobs: Sequence[Job],
    engine: Engine,
    layouts: Sequence[Layout],
    chosen: Callable[[Layout], None],
    *,
    stop: threading.Event,
    clock: Callable[[], float] = time.monotonic,
) -> Generator[Outcome, None, None]:
    """Restore all photos: some by each layout, the rest by the fastest, which `chosen` is told. The rate is
    of result pixels per second from when the models are open, since photos differ in size."""
    waiting = iter(jobs)
    rates: dict[Layout, float] = {}
    begun: list[float] = []
    for layout in layouts:
        part = list(islice(waiting, PHOTOS_PER_PROCESS * layouts[-1].processes))
        begun.append(clock())  # and again, once the models are open
        pixels = 0
        with contextlib.closing(engine(part, layout, lambda: begun.append(clock()))) as outcomes:
            for outcome in outcomes:
                width, height = outcome.entry["size_out"] or (0, 0)
                pixels += width * height
                end = clock()  # closing the processes is no work on photos
                yield outcome
        if pixels and not stop.is_set():
            rates[layout] = pixels / max(end - begun[-1], 1e-6)
    best = layouts[0]
    for layout in layouts[1:]:
        if rates.get(layout, 0) > GAIN * rates.get(best, 0):
            best = layout
    if len(rates) == len(layouts):
        chosen(best)
    rest = list(waiting)
    if rest and not stop.is_set():
        yield from engine(rest, best, lambda: None)


def choices_file() -> Path:
    """Where this account's choices are kept; it may not exist."""
    return Path(platformdirs.user_cache_dir("revisage", appauthor=False)) / "layouts.json"


def remembered(settings: str) -> Layout | None:
    """What was chosen on this machine for settings of this fingerprint; None before."""
    try:
        return Layout(*map(int, _choices()[_key(settings)]))
    except (KeyError, TypeError, ValueError):
        return None


def remember(settings: str, layout: Layout) -> None:
    """Keep a choice, if the cache can be written."""
    known = _choices() | {_key(settings): [layout.processes, layout.threads]}
    with contextlib.suppress(SaveError):
        write_atomically(choices_file(), json.dumps(known, indent=1).encode())


def _choices() -> dict[str, list[int]]:
    try:
        known = json.loads(choices_file().read_bytes())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _key(settings: str) -> str:
    return f"{platform.node()} {platform.machine()} {cores()} cores {settings[:16]}"
