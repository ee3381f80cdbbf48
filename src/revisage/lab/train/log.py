"""What a training tells of itself: a line on the terminal, TensorBoard scalars, a CSV file."""

import csv
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from torch.utils.tensorboard import SummaryWriter

from revisage.files import write_atomically
from revisage.lab.train.settings import LoopSettings


class Log:
    """Averages losses between log lines; shows speed, time left and the share spent waiting for data. On a
    terminal a live line stands below. With `run` None nothing is told: of several processes one logs."""

    def __init__(self, run: Path | None, settings: LoopSettings, images: int) -> None:
        self._path, self._board = None, None
        if run is not None:
            (run / "samples").mkdir(parents=True, exist_ok=True)
            self._path = run / "log.csv"
            # What a killed run wrote after its last checkpoint is trained again: drop it.
            _cut(self._path, images)
            self._board = SummaryWriter(str(run / "tensorboard"), purge_step=images)
        self._settings = settings
        self._values: dict[str, list[float]] = defaultdict(list)
        self.skipped = 0
        self._begun, self._images, self._waited = time.monotonic(), images, 0.0
        self._console = Console(highlight=False)
        self._live = self._console.status("starting") if self._path and self._console.is_terminal else None
        if self._live:
            self._live.start()

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
        speed = (images - self._images) / max(span, 1e-9)
        if self._settings.images is not None:
            left = (self._settings.images - images) / max(speed, 1e-9)
        else:
            left = (self._settings.hours or 0) * 3600 - seconds
        share = (waited - self._waited) / max(span, 1e-9)
        to_go = f"{max(left, 0) / 60:.0f} min left"
        if self._live:
            waits = f"{share:.0%} waiting for data"
            self._live.update(f"{images:,} images  {speed:.1f} images/s  {to_go}  {waits}")
        if span < self._settings.log_every and not force:
            return
        means = {name: sum(values) / len(values) for name, values in self._values.items()}
        means |= {"rate": rate, "images/s": speed, "data wait": share, "skipped": float(self.skipped)}
        self.write("train", means, images, to_go)
        self._values.clear()
        self._begun, self._images, self._waited = now, images, waited

    def picture(self, pixels: np.ndarray, images: int) -> None:
        """Keep a grid of samples, (H, W, 3) uint8, as a PNG file and on the board."""
        if self._path is not None and self._board is not None:
            Image.fromarray(pixels).save(self._path.parent / "samples" / f"{images:010d}.png")
            self._board.add_image("samples", pixels, images, dataformats="HWC")

    def say(self, text: str) -> None:
        if self._live:
            self._console.print(text, soft_wrap=True)  # above the live line
        elif self._path is not None:
            print(text, flush=True)

    def write(self, group: str, values: dict[str, float], images: int, title: str) -> None:
        """Write figures: a line after `title`, rows and curves of the `group`."""
        if self._path is None or self._board is None:
            return
        with self._path.open("a", newline="") as file:
            csv.writer(file).writerows((images, group, name, f"{v:.6g}") for name, v in values.items())
        for name, value in values.items():
            self._board.add_scalar(f"{group}/{name}", value, images)
        text = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        self.say(f"{images:>9} images  {title}  {text}")

    def close(self) -> None:
        if self._live:
            self._live.stop()
        if self._board is not None:
            self._board.close()


def _cut(log: Path, images: int) -> None:
    """Leave of a log the rows up to `images`, without what a kill or a full disk left unfinished."""
    if log.is_file():
        lines = log.read_bytes().splitlines(keepends=True)
        rows = [line.split(b",") for line in lines if line.endswith(b"\n")]
        kept = [row for row in rows if len(row) == 4 and row[0].isdigit() and int(row[0]) <= images]
        write_atomically(log, b"".join(map(b",".join, kept)))
