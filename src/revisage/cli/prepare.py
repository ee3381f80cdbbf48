"""`revisage prepare`: a folder of photos into a folder of aligned faces for training."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import cv2
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from revisage import faces, zoo
from revisage.cli._bar import bar
from revisage.cli._parse import parse
from revisage.cli._say import say
from revisage.lab.data.prepare.photo import PrepareSettings, Record
from revisage.lab.data.prepare.run import prepare
from revisage.options import Arg


@dataclass(frozen=True)
class Options:
    """Make aligned faces for training of a folder of photos and all folders below it.

    OUT/faces and OUT/faces.csv have the faces and their landmarks, OUT/dropped and OUT/dropped.csv what was
    not good enough and why. Stopped and started again with the same command, it goes on.
    """

    src: Annotated[Path, Arg(metavar="SRC", positional=True)]
    """A folder of photos. Never written to."""
    out: Annotated[Path, Arg(metavar="OUT", positional=True)]
    """A new folder, or one of an earlier run of the same command."""
    settings: PrepareSettings = field(default_factory=PrepareSettings)
    whole: int | None = None
    """For `revisage train progressive`: keep pictures whole, at this many pixels a side, with 68 landmarks at
    this size, its half and its quarter, in OUT/pictures and OUT/pictures.csv. Nothing is dropped."""
    landmarks: Literal["estimate", "dlib", "fan"] = "estimate"
    """Of --whole: who finds the 68 landmarks. The estimate, from five, needs no further weights."""
    landmark_weights: Annotated[Path | None, Arg(metavar="FILE")] = None
    """The file of dlib or fan; if not given it is looked for in the model folders."""
    workers: int = min(4, os.cpu_count() or 1)
    """Photos in hand at once; the results do not depend on it."""


def main(argv: Sequence[str]) -> int:
    """Run the command; 0: every photo read, 1: some could not be (each named on stderr), 2: bad usage."""
    options = parse(Options, "prepare", argv)
    if options.workers > 1:
        cv2.setNumThreads(1)  # the photos share the cores instead
    if options.whole is not None:
        return _whole(options, options.whole)
    model = zoo.resolve("finder", "auto")
    detector = faces.Detector(model.path)
    with _progress() as bar:
        task = bar.add_task("", total=None)

        def watch(record: Record, done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)
            if record.error is not None:
                say(f"{record.source}: {record.error}", error=True)
            elif not bar.console.is_terminal:
                told = ["good" if face.reason is None else face.reason for face in record.faces]
                say(f"{record.source}: {', '.join(told) or ('restored' if record.restored else 'no face')}")

        summary = prepare(
            options.src,
            options.out,
            detector,
            options.settings,
            detector_name=str(model),
            workers=options.workers,
            watch=watch,
        )
    dropped = ", ".join(f"{count} {reason}" for reason, count in sorted(summary.dropped.items())) or "none"
    say(f"{summary.photos} photos: {summary.kept} faces kept; dropped: {dropped}", error=True)
    places = (options.out / name for name in ("faces", "dropped"))
    say("; ".join(f"{place.name}: {place} and {place}.csv" for place in places), error=True)
    return 1 if summary.unreadable else 0


def _whole(options: Options, size: int) -> int:
    """`prepare` for pictures that stay whole."""
    from revisage.lab.data.prepare.landmarks68 import open_landmark_detector
    from revisage.lab.data.prepare.whole import PICTURES, prepare_whole

    find = open_landmark_detector(options.landmarks, options.landmark_weights)
    with _progress() as bar:
        task = bar.add_task("", total=None)
        count, seen, failed, restored = prepare_whole(
            options.src,
            options.out,
            find,
            size=size,
            workers=options.workers,
            watch=lambda done, total: bar.update(task, completed=done, total=total),
        )
    for name, error in failed.items():
        say(f"{name}: {error}", error=True)
    target = options.out / PICTURES
    left = f"; left out as results of Revisage: {restored}" if restored else ""
    say(f"{count} pictures, a face found in {seen}: {target} and {target}.csv{left}", error=True)
    return 1 if failed else 0


def _progress() -> Progress:
    return bar("Preparing", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
