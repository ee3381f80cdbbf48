"""A prepared run of `revisage restore`: every outcome recorded, reported and told; the exit code."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

from revisage.batch import Job, Outcome, Standing, Watch
from revisage.cli._interrupt import interruptible
from revisage.cli._progress import Live
from revisage.cli._report import Report
from revisage.errors import RevisageError

Engine = Callable[[Sequence[Job], threading.Event, Watch], Generator[Outcome, None, None]]
"""Restores photos and yields what became of each; once the event is set, it begins no more."""

FULL = "the disk is full: make room and run the same command with --resume"


@dataclass(frozen=True)
class Run:
    """All that is decided before the first photo.

    Args:
        jobs: the photos of this run.
        engine: what restores them.
        report: gets every outcome's entry.
        record: gets every outcome first; what it cannot keep ends the run (ManifestError).
        before: what earlier runs have done; None for a run that does not ask.
    """

    jobs: Sequence[Job]
    engine: Engine
    report: Report
    record: Callable[[Outcome], None]
    before: Standing | None = None


def work(run: Run) -> int:
    """Restore the photos; 0: every one is done, 1: some failed, now or before.

    Raises KeyboardInterrupt after Ctrl-C, once the report of what was done is written.
    """
    live = Live(len(run.jobs))
    full = False
    with interruptible() as stop:
        outcomes = run.engine(run.jobs, stop, live.watch)
        try:
            with live, contextlib.closing(outcomes):
                for outcome in outcomes:
                    run.record(outcome)
                    run.report.add(outcome.entry)
                    live.add(outcome)
                    if outcome.reason == "disk-full":  # the next ones would be restored in vain
                        full = True
                        stop.set()
        except RevisageError as error:  # the manifest cannot be kept, or no worker can start
            print(f"revisage restore: {error}", file=sys.stderr)
            return 1
        finally:
            written = run.report.write()
    left = len(run.jobs) - live.meter.done
    _summary(run, live, left)
    if full:
        print(f"revisage restore: {FULL}", file=sys.stderr)
    elif left:
        raise KeyboardInterrupt
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
