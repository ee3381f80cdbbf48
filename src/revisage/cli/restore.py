"""`revisage restore`: photos in, restored photos out."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from tyro.conf import Positional, arg

from revisage.batch import Job, Outcome, SaveOptions, plan, restore_all
from revisage.cli._parse import Exit, parse
from revisage.errors import RevisageError, SaveError, UnknownModelError, UsageError
from revisage.image import DecodeLimits, write_atomically
from revisage.restore import RestoreOptions, Restorer, Stage, document


@dataclass(frozen=True)
class Options:
    """Restore photos, or every photo in folders and below. An original is never written to.

    One photo without -o is written as NAME.restored.EXT beside it; a folder needs -o.
    """

    photos: Positional[Annotated[tuple[Path, ...], arg(metavar="PHOTO|DIR")]]
    """Photos and folders."""
    out: Annotated[Path | None, arg(aliases=["-o"], metavar="OUT")] = None
    """A file for one photo, a folder for several."""
    model: Annotated[str, arg(metavar="auto|none|NAME")] = "auto"
    """Face model: auto (the best installed), none, or a name of `revisage models list`."""
    scene: Annotated[str, arg(metavar="auto|none|NAME|NAME:0.3")] = "auto"
    """Model for the rest of the photo: auto, none (plain enlarging), or a name. NAME:0.3 is three tenths
    NAME and its twin (realesr-general-x4v3 then denoises less); NAME+OTHER:0.3 mixes any two of one kind."""
    scale: Literal["auto", "1", "2", "4"] = "auto"
    """Enlarging; auto is 2 where the long side is under 1,600 pixels, else 1."""
    strength: Annotated[float, arg(metavar="0..1")] = 1.0
    """How much of the restored face goes into the photo, 0 to 1."""
    faces: Annotated[str, arg(metavar="all|largest|N,N")] = "all"
    """all, largest, or numbers from 0, largest face first: 0,2."""
    colour: Literal["keep", "enhance"] = "keep"
    """keep the photo's colours (gray stays gray), or let the model enhance them."""
    aligned: bool = False
    """The photos are face crops on the FFHQ template; the results have the model's square size."""
    report: Annotated[Path | None, arg(metavar="FILE.json")] = None
    """Write what was done to every photo and face as JSON; also now and then while the work goes on."""
    label: bool = True
    """Mark the results as edited with AI in their metadata (XMP)."""
    keep_gps: bool = False
    """Keep the place where a photo was taken; it is dropped otherwise."""
    quality: int = 95
    """Quality of JPEG, WebP, HEIF and AVIF files, 1 to 100."""
    max_pixels: int = 50_000_000
    """Photos with more pixels are refused."""
    device: Literal["auto", "cpu", "gpu"] = "auto"
    """Where the models run."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Arithmetic of the models; auto takes half precision where a check shows that it makes no difference."""
    workers: int = 2
    """Photos in hand at once: one is read or written while another is in the models; each takes memory."""
    memory: Annotated[int | None, arg(metavar="MIB")] = None
    """Memory for the tiles of a photo in MiB; a quarter of what is free, at most 1,024, if not given."""


def main(argv: Sequence[str]) -> int:
    """Run the command; 0: every photo done, 1: some failed (each named on stderr), 2: bad usage.

    Raises KeyboardInterrupt after Ctrl-C, once the report of what was done is written.
    """
    try:
        options = parse(Options, "restore", argv)
        jobs = plan(options.photos, options.out)
        if options.max_pixels < 1 or not 1 <= options.quality <= 100:
            raise UsageError("--max-pixels must be at least 1 and --quality from 1 to 100")
        if options.workers < 1:
            raise UsageError(f"--workers {options.workers}: give at least 1")
        _check_report(options.report, jobs)
        restorer = Restorer(
            options.model,
            options.scene,
            device=options.device,
            precision=options.precision,
            memory=options.memory,
            limits=DecodeLimits(max_pixels=options.max_pixels),
        )
        chosen = RestoreOptions(
            options.strength, options.scale, options.faces, options.colour, options.aligned
        )
        restorer.check()
        report = _Report(options.report)
    except Exit as stop:
        return stop.code
    except RevisageError as error:
        print(f"revisage restore: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError | UnknownModelError) else 1
    saving = SaveOptions(options.quality, options.keep_gps, options.label)
    with _interruptible() as interrupted:
        bar = _Bar(len(jobs))
        outcomes = restore_all(
            jobs, restorer, chosen, saving=saving, workers=options.workers, stop=interrupted, watch=bar.watch
        )
        try:
            with bar, contextlib.closing(outcomes):
                for outcome in outcomes:
                    report.add(outcome.entry)
                    bar.show(outcome)
        finally:
            written = report.write()
    failed = sum(entry["status"] != "restored" for entry in report.entries)
    left = len(jobs) - len(report.entries)
    if len(jobs) > 1:
        rest = f", interrupted before {left} more" if left else ""
        print(f"{len(report.entries) - failed} restored, {failed} failed{rest}", file=sys.stderr)
    if left:
        raise KeyboardInterrupt
    return 1 if failed or not written else 0


def _check_report(report: Path | None, jobs: Sequence[Job]) -> None:
    if report is None:
        return
    if report.is_dir():
        raise UsageError(f"--report {report} is a folder: name a file")
    place = report.resolve()
    for job in jobs:
        if place == job.source.resolve():
            raise UsageError(f"--report {report} is an original and is never written to: choose another name")
        if place == job.target.resolve():
            raise UsageError(f"--report {report} is where a photo goes: choose another name")


@contextlib.contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Ctrl-C sets the event; a second one ends the process at once.

    An exception in its place could not end the threads in the inference library, nor tell what they wrote.
    """
    stop = threading.Event()
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield stop  # another program's thread, or a background job that Ctrl-C is not meant for
        return

    def interrupt(number: int, frame: object) -> None:
        if stop.is_set():
            os.write(2, b"\x1b[?25h\n" if os.isatty(2) else b"")  # the cursor that the progress bar hid
            os._exit(130)
        stop.set()

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


class _Bar:
    """On a terminal a bar over all photos, which grows with every tile and face; in a pipe nothing."""

    # Where a photo stands when a stage begins, and the share of its time that the stage takes.
    SHARES: ClassVar = {
        "decode": (0.0, 0.02),
        "find": (0.02, 0.03),
        "scene": (0.05, 0.75),
        "faces": (0.8, 0.2),
    }

    def __init__(self, count: int) -> None:
        console = Console(stderr=True)
        columns = (TextColumn("Restoring"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._progress.add_task("", total=count)
        self._stands: dict[Job, float] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def watch(self, job: Job, stage: Stage) -> None:
        """Called from the threads that restore."""
        start, share = self.SHARES[stage.name]
        self._stand(job, start + share * (stage.done / stage.total if stage.total else 1))

    def show(self, outcome: Outcome) -> None:
        _line(outcome)
        self._stand(outcome.job, 1.0)

    def _stand(self, job: Job, value: float) -> None:
        with self._lock:
            self._stands[job] = value
            done = sum(self._stands.values())
        self._progress.update(self._task, completed=done)


def _line(outcome: Outcome) -> None:
    if outcome.error is not None:
        print(f"{outcome.job.source}: {outcome.error}", file=sys.stderr, flush=True)
        return
    faces = outcome.entry["faces"]
    seconds = sum(outcome.entry["seconds"].values())
    print(
        f"{outcome.job.source} -> {outcome.job.target}  {_faces(outcome.entry)}, {seconds:.1f} s", flush=True
    )
    for number, face in enumerate(faces):
        if face["outcome"] == "failed":
            print(
                f"{outcome.job.source}: face {number} not restored: {face['reason']}",
                file=sys.stderr,
                flush=True,
            )


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


class _Report:
    """The entries of all photos so far, and the file they go to.

    The file is begun at once, so that a place that cannot be written is told before the work. It is written
    anew now and then, whole or not at all, so that a run that is killed leaves a true report of nearly all.
    """

    EVERY = 10.0  # seconds
    SHARE = 20  # at most one part in so many of the time goes into writing it

    def __init__(self, path: Path | None) -> None:
        """Raises UsageError when the file cannot be written."""
        self.entries: list[dict[str, Any]] = []
        self._path = path
        self._next = 0.0
        try:
            self._write()
        except SaveError as error:
            raise UsageError(f"--report: {error}: choose another name") from None

    def add(self, entry: dict[str, Any]) -> None:
        self.entries.append(entry)
        if time.monotonic() >= self._next:
            self.write()

    def write(self) -> bool:
        """Write what there is; False, told on stderr, when that fails."""
        try:
            self._write()
        except SaveError as error:
            print(f"revisage restore: {error}", file=sys.stderr)
            return False
        return True

    def _write(self) -> None:
        start = time.monotonic()
        if self._path is not None:
            write_atomically(self._path, (json.dumps(document(self.entries), indent=2) + "\n").encode())
        end = time.monotonic()
        self._next = end + max(self.EVERY, self.SHARE * (end - start))
