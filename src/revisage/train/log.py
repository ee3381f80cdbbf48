"""What a training tells of itself: a line on the terminal, TensorBoard scalars, a CSV file."""

from __future__ import annotations

import csv
import json
import time
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from torch.utils.tensorboard import SummaryWriter

if TYPE_CHECKING:
    from revisage.train.loop import LoopSettings


class Log:
    """Averages losses between log lines; shows speed, time left and the share spent waiting for data."""

    def __init__(self, run: Path, settings: LoopSettings, images: int) -> None:
        (run / "samples").mkdir(parents=True, exist_ok=True)
        (run / "loop.json").write_text(json.dumps(asdict(settings), indent=2) + "\n")
        self._path = run / "log.csv"
        # What a killed run wrote after its last checkpoint is trained again: drop it from the board.
        self._board = SummaryWriter(str(run / "tensorboard"), purge_step=images)
        self._settings = settings
        self._values: dict[str, list[float]] = defaultdict(list)
        self.skipped = 0
        self._begun = time.monotonic()
        self._images, self._waited = images, 0.0

    def add(self, stats: dict[str, float], *, skipped: bool) -> None:
        """Take in one phase's losses; of a skipped update only the number is kept."""
        if skipped:
            self.skipped += 1
            return
        for name, value in stats.items():
            self._values[name].append(value)

    def tick(self, images: int, seconds: float, rate: float, waited: float, *, force: bool) -> None:
        """Write a line when `log_every` seconds have passed since the last one, or when forced."""
        now = time.monotonic()
        span = now - self._begun
        if span < self._settings.log_every and not force:
            return
        means = {name: sum(values) / len(values) for name, values in self._values.items()}
        speed = (images - self._images) / max(span, 1e-9)
        share = (waited - self._waited) / max(span, 1e-9)
        if self._settings.images is not None:
            left = (self._settings.images - images) / max(speed, 1e-9)
        else:
            left = (self._settings.hours or 0) * 3600 - seconds
        means |= {"rate": rate, "images/s": speed, "data wait": share, "skipped": float(self.skipped)}
        self._write("train", means, images)
        text = "  ".join(f"{k} {v:.4g}" for k, v in means.items())
        print(f"{images:>9} images  {max(left, 0) / 60:.0f} min left  {text}", flush=True)
        self._values.clear()
        self._begun, self._images, self._waited = now, images, waited

    def validation(self, figures: dict[str, float], images: int) -> None:
        """Write figures on held-out data."""
        self._write("validation", figures, images)
        print(
            f"{images:>9} images  held out: " + "  ".join(f"{k} {v:.4f}" for k, v in figures.items()),
            flush=True,
        )

    def _write(self, group: str, values: dict[str, float], images: int) -> None:
        with self._path.open("a", newline="") as file:
            csv.writer(file).writerows(
                (images, group, name, f"{value:.6g}") for name, value in values.items()
            )
        for name, value in values.items():
            self._board.add_scalar(f"{group}/{name}", value, images)

    def close(self) -> None:
        self._board.close()
