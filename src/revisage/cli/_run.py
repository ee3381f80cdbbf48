"""A run of `revisage restore`: the engine that restores, every outcome recorded; the exit code."""

import contextlib
import re
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace

from revisage.batch import Job, Outcome, Standing, Watch
from revisage.batch.engines import processes, ray
from revisage.batch.layout import Layout, calibrated, candidates, remember, remembered
from revisage.cli._interrupt import interruptible
from revisage.cli._progress import Live
from revisage.cli._report import Report
from revisage.cli._say import say
from revisage.errors import RevisageError, UsageError
from revisage.restore import Settings
from revisage.restore.memory import free_bytes
from revisage.runtime.cores import cores

Outcomes = Generator[Outcome, None, None]
Engine = Callable[[Sequence[Job], threading.Event, Watch], Outcomes]
"""Restores photos and yields what became of each; once the event is set, it begins no more."""


@dataclass(frozen=True)
class Run:
    """All that is decided before the first photo."""

    jobs: Sequence[Job]
    engine: Engine
    report: Report  #: gets every outcome's entry
    record: Callable[[Outcome], None]  #: gets every outcome first; raises ManifestError to end the run
    before: Standing | None = None  #: what earlier runs have done; None for a run that does not ask


def work(run: Run) -> int:
    """Restore the photos; 0: every one is done, 1: some failed, now or before. Raises KeyboardInterrupt with
    the exit code after Ctrl-C and other signals to end, once the report of what was done is written."""
    live = Live(len(run.jobs))
    full = False
    with interruptible(run.report.write) as stop:
        outcomes = run.engine(run.jobs, stop, live.watch)
        try:
            with live.bar, contextlib.closing(outcomes):
                for outcome in outcomes:
                    run.record(outcome)
                    run.report.add(outcome.entry)
                    live.add(outcome)
                    if outcome.reason == "disk-full":  # the next ones would be restored in vain
                        full = True
                        stop.set()
        except RevisageError as error:  # the manifest cannot be kept, or no worker can start
            say(f"revisage restore: {error}", error=True)
            return 1
        finally:
            written = run.report.write()
    left = len(run.jobs) - live.meter.done
    _summary(run, live, left)
    if full:
        go_on = "" if run.before is None else "; it goes on where this run ended"
        text = "the disk is full: make room and run the same command again"
        say(f"revisage restore: {text}{go_on}", error=True)
    elif left:
        raise KeyboardInterrupt(128 + stop.number)  # as shells tell what a signal has ended
    failed = live.meter.failed + (run.before.failed if run.before else 0)
    return 1 if failed or full or not written else 0


def _summary(run: Run, live: Live, left: int) -> None:
    before = run.before
    if len(run.jobs) <= 1 and before is None:
        return
    parts = [f"{live.meter.restored:,} restored, {live.meter.failed:,} failed"]
    if before is not None and before.restored:
        parts.append(f"{before.restored:,} done before")
    if before is not None and before.failed:
        parts.append(f"{before.failed:,} failed before (--retry-failed tries them again)")
    if left:
        parts.append(f"interrupted before {left:,} more")
    print(", ".join(parts), file=sys.stderr)


LOCAL = "local"  #: what `--ray` means without an address: Ray on this machine, for this run

ADDRESS = re.compile(r"local|auto|ray://\S+|[\w.-]+:\d+|\[[0-9a-fA-F:]+\]:\d+")
"""What is taken for an address of a cluster; a folder of such a name is told apart by ./ before it."""

MANY = 100  #: from so many photos on, `--processes auto` starts processes, and measures how many are best


def in_processes(work: processes.Work, count: int | None, marks: str) -> Engine:
    """The engine of `count` processes, or of as many as were or are measured to be fastest."""
    layout = remembered(marks) if count is None else Layout(count, max(1, cores() // count))

    def engine(jobs: Sequence[Job], stop: threading.Event, watch: Watch) -> Outcomes:
        def run(jobs: Sequence[Job], layout: Layout, ready: Callable[[], None]) -> Outcomes:
            share = replace(work, threads=layout.threads)
            return processes.restore_all(jobs, share, processes=layout.processes, stop=stop, on_ready=ready)

        if layout is not None:
            return run(jobs, layout, lambda: None)
        layouts = candidates(cores(), free_bytes())
        return calibrated(jobs, run, layouts, lambda best: remember(marks, best), stop=stop)

    return engine


def on_ray(work: processes.Work, count: int | None, settings: Settings) -> Engine:
    """The engine on the connected cluster, with `count` Restorers or as many as it has room for."""
    pool, limits = ray.pool(count, settings.device), settings.limits
    return lambda jobs, stop, watch: ray.restore_all(jobs, work, pool, limits, stop=stop)


def name_ray_address(argv: Sequence[str]) -> list[str]:
    """The arguments with `local` behind every `--ray` that no address follows."""
    named: list[str] = []
    for index, argument in enumerate(argv):
        named.append(argument)
        if argument == "--ray" and not ADDRESS.fullmatch("".join(argv[index + 1 : index + 2])):
            named.append(LOCAL)
    return named


def process_count(text: str, photos: int) -> int | None:
    """What `--processes` means for so many photos: 0 for none but this one, None for what is fastest. Raises
    UsageError."""
    if text == "auto":
        return 0 if photos < MANY else None
    if not text.isdecimal() or not int(text):
        raise UsageError(f"--processes {text}: give auto, or a number from 1")
    return int(text)
