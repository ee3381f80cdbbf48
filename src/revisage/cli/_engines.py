"""Which engine restores the photos of a run: threads of this process, several processes, or Ray."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace

from revisage.batch import Job, Outcome, SaveOptions, Watch, processes, restore_all
from revisage.batch.layout import Choices, Layout, calibrated, candidates, cores, free_memory
from revisage.batch.settings import Fingerprint
from revisage.cli._run import Engine
from revisage.errors import UsageError
from revisage.restore import RestoreOptions, Restorer

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
