"""How fast a run goes and when it will be done, in one line."""

import math
import time
from collections import deque
from collections.abc import Callable
from datetime import timedelta

from revisage.batch.jobs import Outcome

WINDOW_SECONDS = 120.0  #: rates are means over so much of the past: photos and machines' load differ
LEAST_SHARE = 0.1  #: of a photo from which on its pace is measured


class Meter:
    """Counts outcomes; for one thread."""

    def __init__(self, total: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.total = total
        self.restored = self.failed = self.faces = 0
        self._clock = clock
        self._start = clock()
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
