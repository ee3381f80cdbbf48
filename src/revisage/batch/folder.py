"""Photos and folders on this machine."""

from __future__ import annotations

import tempfile
import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from revisage.errors import RevisageError, UsageError
from revisage.image import format_of, output_paths
from revisage.restore import RestoreOptions, Restorer, Stage, failure

# What lies beside photos in people's folders and is none. Anything else is tried, and told if it is no photo:
# a list of what to try would leave out, silently, the photo with an unusual name.
# fmt: off
COMPANIONS = frozenset(
    {
        ".3gp", ".aae", ".avi", ".csv", ".db", ".doc", ".docx", ".htm", ".html", ".ini", ".json", ".lnk",
        ".m4a", ".m4v", ".md", ".mkv", ".mov", ".mp3", ".mp4", ".odt", ".onnx", ".part", ".pdf", ".py",
        ".srt", ".sqlite", ".thm", ".tmp", ".toml", ".txt", ".wav", ".webm", ".xls", ".xlsx", ".xml",
        ".xmp", ".yaml", ".yml", ".zip",
    }
)
# fmt: on


RESULT = ".restored"  # what `output_paths` puts behind a name

_AHEAD = 16
"""Photos per worker that may be done while an earlier one is in hand; of them only outcomes are kept."""


@dataclass(frozen=True)
class Job:
    """One photo and where its result goes."""

    source: Path
    target: Path


@dataclass(frozen=True)
class Outcome:
    """What became of one photo: its entry of the report, and the error if it failed."""

    job: Job
    entry: dict[str, Any]
    error: str | None = None


Watch = Callable[[Job, Stage], None]


@dataclass(frozen=True)
class SaveOptions:
    """How results are written: quality of lossy formats, the place kept or not, the AI-edit label or not."""

    quality: int = 95
    keep_gps: bool = False
    label: bool = True


def plan(inputs: Sequence[Path], out: Path | None) -> list[Job]:
    """The photos below `inputs` (files, and folders with all that is in them) and where each result goes.

    A named file is always tried; one that does not exist fails like any other, unless none exists. In a
    folder, hidden files and files that usually lie beside photos (`COMPANIONS`) are left out, and so is
    `out` when it lies inside. `NAME.restored.EXT` is left out, and written anew, where NAME is there as well:
    `restore *.jpg` twice must not restore the results of the first time.

    Raises UsageError when no input exists, a folder has no photo, or `out` is missing, of the wrong kind or
    not to be written to.
    """
    if not inputs:
        raise UsageError("name at least one photo or folder")
    found: list[tuple[Path, Path]] = []
    for path in inputs:
        root = path if path.is_dir() else path.parent
        found += [(photo, root) for photo in (_below(path, out) if path.is_dir() else [path])]
    names = {photo.with_suffix("") for photo, _ in found}
    found = [pair for pair in found if not _is_result(pair[0], names)]
    photos, roots = [photo for photo, _ in found], [root for _, root in found]
    if not any(photo.exists() for photo in photos):
        raise UsageError(f"{photos[0]} does not exist")
    jobs = [Job(*pair) for pair in zip(photos, _targets(photos, roots, inputs, out), strict=True)]
    _require_writable({_existing(job.target.parent) for job in jobs}, out)
    return jobs


def _require_writable(folders: set[Path], out: Path | None) -> None:
    """Tell now what would else be told for every photo after its work is done."""
    refusals = {}
    for folder in folders:
        try:
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            refusals[folder] = error.strerror or str(error)
    if refusals and (out is not None or len(refusals) == len(folders)):
        folder, reason = min(refusals.items())
        raise UsageError(f"nothing can be written to {folder} ({reason}): choose another place with -o")


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())


def _is_result(photo: Path, names: set[Path]) -> bool:
    """Whether `photo` is the result of another one, given the names of all without their extensions."""
    return photo.stem.endswith(RESULT) and photo.with_name(photo.stem.removesuffix(RESULT)) in names


def _targets(
    photos: Sequence[Path], roots: Sequence[Path], inputs: Sequence[Path], out: Path | None
) -> list[Path]:
    if out is None:
        return output_paths(photos)
    if len(inputs) == 1 and not inputs[0].is_dir() and not out.is_dir() and out.suffix:
        if format_of(out) is None:
            raise UsageError(f"{out}: {out.suffix} is no picture format; use .jpg, .png, .webp or .tif")
        if out.resolve() == photos[0].resolve():
            raise UsageError(f"{out} is the original and is never written to: choose another name")
        return [out]
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file: several photos need a folder")
    if not out.exists() and format_of(out) is not None:
        raise UsageError(f"{out} is the name of one photo: several photos need a folder")
    return output_paths(photos, out, roots=roots)


def _below(folder: Path, out: Path | None) -> list[Path]:
    if out is None:
        raise UsageError(f"{folder} is a folder: say where the results go with -o FOLDER")
    if out.resolve() == folder.resolve():
        raise UsageError(f"{out} holds the originals: choose another folder for -o")
    found = sorted(path for path in folder.rglob("*") if _is_candidate(path, folder, out))
    if not found:
        raise UsageError(f"no photos in {folder}")
    return found


def _is_candidate(path: Path, root: Path, out: Path) -> bool:
    parts = path.relative_to(root).parts
    if any(part.startswith(".") for part in parts) or not path.is_file():
        return False
    return path.suffix.lower() not in COMPANIONS and not path.resolve().is_relative_to(out.resolve())


def restore_all(
    jobs: Sequence[Job],
    restorer: Restorer,
    options: RestoreOptions,
    *,
    saving: SaveOptions = SaveOptions(),
    workers: int = 1,
    stop: threading.Event | None = None,
    watch: Watch | None = None,
) -> Generator[Outcome, None, None]:
    """Restore every photo and yield the outcomes in the order of the jobs; no failure stops the rest.

    `workers` photos are in hand at once and share the one Restorer: while one is in the models, the others
    are read and written. What becomes of a photo does not depend on their number. Once `stop` is set, no more
    are started and those in hand are dropped at their next step; the outcome of each photo written is still
    yielded. Closing the iterator early sets it. `watch` is told of every step of a photo, from the thread it
    is in.
    """
    if workers < 1:
        raise UsageError(f"workers {workers}: give at least 1")
    stop = stop or threading.Event()
    waiting = iter(jobs)
    begun: deque[Future[Outcome | None]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="photo") as pool:
        try:
            while True:
                while not stop.is_set() and len(begun) < _AHEAD * workers and (job := next(waiting, None)):
                    begun.append(pool.submit(_restore_one, job, restorer, options, saving, stop, watch))
                if not begun:
                    return
                if (outcome := begun.popleft().result()) is not None:
                    yield outcome
        except BaseException:  # closed, or interrupted: the pool waits for the photos in hand
            stop.set()
            raise


class _StoppedError(Exception):
    """Takes a photo out of the restorer between two steps."""


def _restore_one(  # noqa: PLR0917 (called by the pool)
    job: Job,
    restorer: Restorer,
    options: RestoreOptions,
    saving: SaveOptions,
    stop: threading.Event,
    watch: Watch | None,
) -> Outcome | None:
    """One photo; None when it was stopped before anything was written."""

    def look(stage: Stage) -> None:
        if stop.is_set():
            raise _StoppedError
        if watch is not None:
            watch(job, stage)

    if stop.is_set():
        return None
    try:
        result = restorer.run(job.source, options, progress=look)
        result.save(job.target, quality=saving.quality, keep_gps=saving.keep_gps, label=saving.label)
    except _StoppedError:
        return None
    except (RevisageError, OSError) as error:
        entry = failure(job.source, error)
        return Outcome(job, entry, entry["error"])
    except MemoryError:
        message = "not enough memory for this photo: use --scale 1 or --workers 1, or close other programs"
        return Outcome(job, failure(job.source, RevisageError(message)), message)
    except Exception as error:
        # A defect of ours must not cost the user the other photos of a long run; it is named as one.
        message = f"internal error ({type(error).__name__}: {error}); please report it with this photo"
        return Outcome(job, failure(job.source, RevisageError(message)), message)
    return Outcome(job, result.entry())
