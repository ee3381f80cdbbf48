"""What `revisage restore` says while it works: a line for each photo, a bar, and how fast it goes."""

import sys
import threading
import time
from collections import Counter
from typing import Any, Self

from rich.progress import BarColumn, TaskProgressColumn

from revisage.batch import Job, Meter, Outcome
from revisage.batch.storage import STANDARD
from revisage.cli._bar import bar
from revisage.cli._say import say
from revisage.restore import Stage, overall
from revisage.restore.background import TOO_THIN

EVERY_SECONDS = 30.0  #: how often a run whose stderr is no terminal says how it goes


class Live:
    """On a terminal a bar over all photos, which grows with every tile and face, what is done and the time
    left; elsewhere a line now and then. Photos in hand count for the share of their work that is done."""

    def __init__(self, count: int) -> None:
        self._progress = bar("Restoring", BarColumn(bar_width=20), TaskProgressColumn(), "{task.description}")
        self._task = self._progress.add_task("", total=count)
        self._in_hand: dict[Job, float] = {}
        self._step = ""
        self._lock = threading.Lock()
        self.meter = Meter(count)
        self._told = time.monotonic()

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

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
        if self._progress.disable and time.monotonic() - self._told >= EVERY_SECONDS:
            self._told = time.monotonic()
            print(self.meter.line(), file=sys.stderr, flush=True)
        self._show()

    def _show(self) -> None:
        if self._progress.disable:
            return
        with self._lock:
            in_hand = sum(self._in_hand.values())
            one = filter(None, [self._step, self.meter.left(in_hand)])
            text = self.meter.line(in_hand) if self.meter.total > 1 else ", ".join(one)
        self._progress.update(self._task, completed=self.meter.done + in_hand, description=text)


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
        say(f"{job.source}: enlarged without a model: {TOO_THIN}", error=True)
    for note in outcome.entry["notes"]:
        say(f"{job.source}: {note}", error=True)
    for face in outcome.entry["faces"]:
        if face["outcome"] == "failed":
            say(f"{job.source}: face {face['number']} not restored: {face['reason']}", error=True)


def _faces(entry: dict[str, Any]) -> str:
    """In words: how many faces were restored, and why others were not."""
    faces = entry["faces"]
    if entry["models"]["face"] is None:
        return "faces left alone"
    if not faces:
        return "no face found"
    restored = sum(face["outcome"] == "restored" for face in faces)
    skipped = Counter(face["reason"] for face in faces if face["outcome"] == "skipped")
    why = "".join(f"; {count} skipped: {reason}" for reason, count in skipped.items())
    return f"{restored} of {len(faces)} face{'s' if len(faces) > 1 else ''}{why}"
