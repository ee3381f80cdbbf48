"""What `revisage restore` says while it works: a line for each photo, a bar, and how fast it goes."""

import math
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from rich.progress import BarColumn, TaskProgressColumn

from revisage.batch import Job, Outcome
from revisage.batch.storage import STANDARD
from revisage.cli._bar import bar
from revisage.cli._say import say
from revisage.restore import Stage, overall
from revisage.restore.background import TOO_THIN

EVERY_SECONDS = 30.0  #: how often a run whose stderr is no terminal says how it goes
WINDOW_SECONDS = 120.0  #: rates are means over so much of the past: photos and machines' load differ
LEAST_SHARE = 0.1  #: of a photo from which on its pace is measured


class Meter:
    """Counts outcomes; for one thread."""

    def __init__(self, total: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.total = total
        self.restored = self.failed = self.faces = 0
        self._clock = clock
        self._left = math.inf
        self._past: deque[tuple[float, float, int]] = deque([(clock(), 0.0, 0)])  # time, photos, faces

    @property
    def done(self) -> int:
        """Photos whose outcome is known."""
        return self.restored + self.failed

    def add(self, outcome: Outcome, in_hand: float = 0.0) -> None:
        """Count one photo. `in_hand` is how much is done of the photos in hand, in photos."""
        if outcome.error is None:
            self.restored += 1
            self.faces += sum(face["outcome"] == "restored" for face in outcome.entry["faces"])
        else:
            self.failed += 1
        now = self._clock()
        self._past.append((now, self.done + in_hand, self.faces))
        while len(self._past) > 2 and self._past[1][0] < now - WINDOW_SECONDS:
            self._past.popleft()

    def rates(self, in_hand: float = 0.0) -> tuple[float, float]:
        """Photos and faces per second of late."""
        then, photos, faces = self._past[0]
        seconds = max(self._clock() - then, 1e-9)
        return max(self.done + in_hand - photos, 0) / seconds, (self.faces - faces) / seconds

    def left(self, in_hand: float = 0.0) -> str:
        """`0:00:58 left`, or nothing before the first tile or two of a photo. It falls, and only grows where
        the work has become twice as slow."""
        if not self.done and not self._past[0][1]:
            if in_hand < LEAST_SHARE:
                return ""
            # Opening the models and the photo does not tell how long a tile takes.
            self._past[0] = self._clock(), in_hand, 0
        pace, _ = self.rates(in_hand)
        if not pace:
            return ""
        seconds = max(self.total - self.done - in_hand, 0) / max(pace, 1e-6)
        if not self._left <= seconds < 2 * self._left:
            self._left = seconds
        return f"{timedelta(seconds=round(self._left))} left"

    def line(self, in_hand: float = 0.0) -> str:
        """`12 of 100: 1.50 photos/s, 2.10 faces/s, 1 failed, 0:00:58 left`."""
        photos, faces = self.rates(in_hand)
        counts = f"{self.done:,} of {self.total:,}: {photos:.2f} photos/s, {faces:.2f} faces/s"
        return ", ".join(filter(None, [counts, f"{self.failed:,} failed", self.left(in_hand)]))


class Live:
    """On a terminal a bar over all photos, which grows with every tile and face, what is done and the time
    left; elsewhere a line now and then. Photos in hand count for the share of their work that is done."""

    def __init__(self, count: int) -> None:
        self.bar = bar("Restoring", BarColumn(bar_width=20), TaskProgressColumn(), "{task.description}")
        self._task = self.bar.add_task("", total=count)
        self._in_hand: dict[Job, float] = {}
        self._step = ""
        self._lock = threading.Lock()
        self.meter = Meter(count)
        self._told = time.monotonic()

    def watch(self, job: Job, stage: Stage) -> None:
        """Called from the threads that restore."""
        with self._lock:
            self._in_hand[job] = overall(stage)
            self._step = stage.text
        self._show()

    def add(self, outcome: Outcome) -> None:
        """Tell of a photo that is done."""
        tell(outcome)
        with self._lock:
            self._in_hand.pop(outcome.job, None)
            self.meter.add(outcome, sum(self._in_hand.values()))
        if self.bar.disable and time.monotonic() - self._told >= EVERY_SECONDS:
            self._told = time.monotonic()
            print(self.meter.line(), file=sys.stderr, flush=True)
        self._show()

    def _show(self) -> None:
        if self.bar.disable:
            return
        with self._lock:
            in_hand = sum(self._in_hand.values())
            one = filter(None, [self._step, self.meter.left(in_hand)])
            text = self.meter.line(in_hand) if self.meter.total > 1 else ", ".join(one)
        self.bar.update(self._task, completed=self.meter.done + in_hand, description=text)


def tell(outcome: Outcome) -> None:
    """The line of one photo: on stdout what was done, on stderr what was not."""
    job = outcome.job
    if outcome.error is not None:
        say(f"{job.source}: {outcome.error}", error=True)
        return
    seconds = sum(outcome.entry["seconds"].values())
    line = f"{job.source} -> {job.target}  {_faces(outcome.entry)}, {seconds:.1f} s"
    say(line, error=job.target == STANDARD)  # on stdout is the picture
    if TOO_THIN in (outcome.entry.get("background") or ""):
        how = "not cleaned" if outcome.entry["scale"] == 1 else "enlarged without a model"
        say(f"{job.source}: {how}: {TOO_THIN}", error=True)
    for note in outcome.entry["notes"]:
        say(f"{job.source}: {note}", error=True)
    for face in outcome.entry["faces"]:
        if face["outcome"] == "failed":
            say(f"{job.source}: face {face['number']} not restored: {face['reason']}", error=True)


def _faces(entry: dict[str, Any]) -> str:
    """In words: how many faces were restored, and why others were not."""
    faces = [face for page in (entry, *entry["further_pages"]) for face in page["faces"]]
    if entry["models"]["face"] is None:
        return "faces left alone"
    if not faces:
        return "no face found"
    restored = sum(face["outcome"] == "restored" for face in faces)
    skipped = Counter(face["reason"] for face in faces if face["outcome"] == "skipped")
    why = "".join(f"; {count} skipped: {reason}" for reason, count in skipped.items())
    return f"{restored} of {len(faces)} face{'s' if len(faces) > 1 else ''}{why}"
