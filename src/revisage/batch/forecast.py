"""What an archive takes: a model of time and cost with terms measured on a sample (see docs/archive.md).

    m(c) = s + p / c          seconds per photo with c workers on one machine (Amdahl, AFIPS 1967)
    t(M, c) = d + m(c) / M    on M such machines

p is what workers do side by side, s what they wait for each other, d what the one driver does for a photo.
"""

import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from revisage.batch.engines import processes
from revisage.batch.jobs import Job, Outcome
from revisage.batch.manifest import NAME, Manifest
from revisage.errors import UsageError
from revisage.files import TEMPORARY


@dataclass(frozen=True)
class Run:
    """A measured run: of so many photos, by so many workers, in so many seconds from when the models were
    open; `driver` is the driver's processor time."""

    photos: int
    workers: int
    seconds: float
    driver: float


@dataclass(frozen=True)
class Terms:
    """Seconds per photo: side by side (p), in turns on one machine (s), in the driver (d)."""

    parallel: float
    shared: float
    driver: float

    def seconds(self, machines: int, cores: int) -> float:
        """Seconds per photo of a whole run."""
        return self.driver + (self.shared + self.parallel / cores) / machines

    def core_hours(self, photos: int, machines: int, cores: int) -> float:
        """Core-hours that are paid for: of all cores, busy or not."""
        return photos * self.seconds(machines, cores) * machines * cores / 3600

    def most_machines(self, cores: int) -> int:
        """Machines from which on the driver takes more than a tenth of the time: then divide the archive."""
        return max(1, int((self.shared + self.parallel / cores) / (9 * self.driver)))


def fit(one: Run, two: Run) -> Terms:
    """The terms that give the rates of a run with one worker and one with two. Two workers that were more
    than twice as fast, as noise may have it, count as twice as fast."""
    assert (one.workers, two.workers) == (1, 2), (one, two)
    first, second = one.seconds / one.photos, two.seconds / two.photos
    driver = (one.driver + two.driver) / (one.photos + two.photos)
    shared = min(max(2 * second - first, 0.0), first)
    return Terms(first - shared, shared, max(driver, 1e-6))


def sample(jobs: Sequence[Job], count: int) -> list[Job]:
    """At most `count` of the jobs, spread evenly."""
    count = min(count, len(jobs))
    return [jobs[index * len(jobs) // count] for index in range(count)]


def measure(photos: Sequence[Path], work: processes.Work, workers: int) -> tuple[Run, list[Outcome]]:
    """Restore photos into a folder that is then removed, with a manifest, as a real run does. Raises
    UsageError when none of them can be restored, RevisageError when the workers cannot work."""
    with tempfile.TemporaryDirectory(prefix=f"{TEMPORARY}{os.getpid()}-") as name:
        out = Path(name)
        jobs = [Job(path, out / f"{number}{path.suffix}") for number, path in enumerate(photos)]
        begun = [time.perf_counter()]  # and again, once the models are open
        outcomes = []
        with Manifest(out / NAME, out) as manifest:
            start = time.thread_time()
            for outcome in processes.restore_all(
                jobs, work, processes=workers, on_ready=lambda: begun.append(time.perf_counter())
            ):
                manifest.record(outcome, "sample")
                outcomes.append(outcome)
                end = time.perf_counter()
            driver = time.thread_time() - start
    done = [outcome for outcome in outcomes if outcome.error is None]
    if not done:
        raise UsageError(f"none of the sample can be restored: {outcomes[0].error if outcomes else 'empty'}")
    return Run(len(outcomes), workers, end - begun[-1], driver), done
