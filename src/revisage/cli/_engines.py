"""Which engine restores the photos of a run: threads of this process, several processes, or Ray."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace

from revisage.batch import Job, Outcome, SaveOptions, Watch, cluster, processes, restore_all
from revisage.batch.layout import Choices, Layout, calibrated, candidates, cores, free_memory
from revisage.batch.settings import Fingerprint
from revisage.cli._run import Engine
from revisage.errors import UsageError
from revisage.restore import RestoreOptions, Restorer, Settings

LOCAL = "local"
"""What `--ray` means without an address: Ray on this machine, for this run."""

ADDRESS = re.compile(r"local|auto|ray://\S+|[\w.-]+:\d+|\[[0-9a-fA-F:]+\]:\d+")
"""What is taken for an address of a cluster; a folder of such a name is told apart by ./ before it."""

MANY = 100
"""From so many photos on, `--processes auto` starts processes, and measures how many are best."""


def in_threads(
    restorer: Restorer, options: RestoreOptions, saving: SaveOptions, *, workers: int, ordered: bool
) -> Engine:
    """The engine inside this process."""

    def engine(jobs: Sequence[Job], stop: threading.Event, watch: Watch) -> Generator[Outcome, None, None]:
        return restore_all(
            jobs, restorer, options, saving=saving, workers=workers, stop=stop, watch=watch, ordered=ordered
        )

    return engine


def in_processes(work: processes.Work, count: int | None, marks: Fingerprint) -> Engine:
    """The engine of `count` processes, or of as many as were or are measured to be fastest."""
    choices = Choices()
    layout = choices.get(marks) if count is None else Layout(count, max(1, cores() // count))

    def engine(jobs: Sequence[Job], stop: threading.Event, watch: Watch) -> Generator[Outcome, None, None]:
        def run(
            jobs: Sequence[Job], layout: Layout, ready: Callable[[], None]
        ) -> Generator[Outcome, None, None]:
            share = replace(work, threads=layout.threads)
            return processes.restore_all(jobs, share, processes=layout.processes, stop=stop, on_ready=ready)

        if layout is not None:
            return run(jobs, layout, lambda: None)
        return calibrated(
            jobs, run, candidates(cores(), free_memory()), lambda best: choices.keep(marks, best), stop=stop
        )

    return engine


def on_ray(work: processes.Work, count: int | None, settings: Settings) -> Engine:
    """The engine on the connected cluster, with `count` Restorers or as many as it has room for."""
    pool = cluster.pool(count, settings.device)

    def engine(jobs: Sequence[Job], stop: threading.Event, watch: Watch) -> Generator[Outcome, None, None]:
        return cluster.restore_all(jobs, work, pool, settings.limits, stop=stop)

    return engine


def name_ray_address(argv: Sequence[str]) -> list[str]:
    """The arguments with `local` behind every `--ray` that no address follows."""
    named: list[str] = []
    for index, argument in enumerate(argv):
        named.append(argument)
        if argument == "--ray" and not ADDRESS.fullmatch("".join(argv[index + 1 : index + 2])):
            named.append(LOCAL)
    return named


def process_count(text: str, photos: int) -> int | None:
    """What `--processes` means for so many photos: 0 for none but this one, None for what is fastest.

    Raises UsageError.
    """
    if text == "auto":
        return 0 if photos < MANY else None
    try:
        count = int(text)
    except ValueError:
        count = 0
    if count < 1:
        raise UsageError(f"--processes {text}: give auto, or a number from 1")
    return count
