"""`revisage restore --video`: a film in, a restored film out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.progress import TaskID

from revisage.batch import SaveOptions
from revisage.batch.frames import FolderFilm, FolderSink
from revisage.batch.plan import FILMS
from revisage.cli._bar import bar
from revisage.cli._interrupt import interruptible
from revisage.cli._report import Report
from revisage.cli._say import say
from revisage.errors import RevisageError, RuntimeUnavailableError, UsageError
from revisage.files import absent
from revisage.image import format_of
from revisage.restore import RestoreOptions, Restorer, failure
from revisage.restore.video.film import restore_film

if TYPE_CHECKING:
    from revisage.batch.video import VideoFilm
    from revisage.batch.video_sink import FilmReport, VideoSink


@dataclass(frozen=True)
class Film:
    """A film to be restored: a folder of frames into a folder, or a video file into a file or a folder."""

    source: Path
    out: Path

    def __post_init__(self) -> None:
        """Raises UsageError where the two do not go together."""
        if not self.source.exists():
            raise absent(self.source)
        if self.out.resolve() == self.source.resolve():
            raise UsageError(f"{self.out} is the original and is never written to: choose another name")
        named = self.out.suffix.lower() in FILMS or format_of(self.out) is not None
        if self.source.is_dir() and (named or self.out.is_file()) and not self.out.is_dir():
            raise UsageError(f"{self.out}: the results of a folder of frames go into a folder")
        if not self.source.is_dir() and (self.out.is_dir() or not self.out.suffix):
            raise UsageError(f"{self.out}: name the video file to be written, such as film.mp4")


def restore(
    film: Film, restorer: Restorer, options: RestoreOptions, saving: SaveOptions, report: Report
) -> int:
    """Restore the film; 0: all frames, 1: some failed, or it could not be written, 2: bad usage. Raises
    KeyboardInterrupt with the exit code after Ctrl-C and other signals to end; of a video nothing is then
    written, of a folder what is done, and the report says so."""
    failed = 0
    whole: FilmReport | None = None
    try:
        with (
            _sink(film, restorer, options, saving) as (source, sink),
            interruptible(report.write, hand="frame in hand") as stop,
            bar("{task.description}: {task.completed:,.0f} frames") as progress,
        ):
            steps: dict[str, TaskID] = {}

            def told(step: str, done: int) -> None:
                if step not in steps:
                    steps[step] = progress.add_task(step)
                progress.update(steps[step], completed=done)

            for entry in restore_film(source, sink, restorer, options, told=told, stop=stop):
                report.add(entry)
                if entry["error"] is not None:
                    failed += 1
                    say(f"{entry['input']}: {entry['error']}", error=True)
            if stop.is_set():
                kept = (
                    "the frames before are written" if isinstance(sink, FolderSink) else "nothing is written"
                )
                report.add(failure(film.source, RevisageError(f"interrupted: {kept}")))
                say(f"{film.source}: interrupted: {kept}", error=True)
            elif not isinstance(sink, FolderSink):
                whole = sink.finish()
                named = {"output": str(film.out), "status": "restored", "error": None, "film": asdict(whole)}
                report.add(failure(film.source, RevisageError("")) | named | {"there": round(sink.there, 3)})
    except RevisageError as error:
        say(f"revisage restore: {error}", error=True)
        if not isinstance(error, UsageError):
            report.add(failure(film.source, error))
        return 2 if isinstance(error, UsageError) else 1
    finally:
        written = report.write()
    if stop.is_set():
        raise KeyboardInterrupt(128 + stop.number)
    say(f"{film.source} -> {film.out}")
    if whole is not None:
        say(f"kept: {'; '.join(whole.kept)}")
        for title, lines in (("left out", whole.left_out), ("note", whole.notes)):
            for line in lines:
                say(f"{title}: {line}", error=True)
    return 1 if failed or not written else 0


@contextlib.contextmanager
def _sink(
    film: Film, restorer: Restorer, options: RestoreOptions, saving: SaveOptions
) -> Iterator[tuple[FolderFilm, FolderSink] | tuple[VideoFilm, VideoSink]]:
    if film.source.is_dir():
        frames = FolderFilm(film.source, restorer.settings.limits, options.damaged)
        yield frames, FolderSink(film.out, saving, film.source)
        return
    try:
        from revisage.batch.video import VideoFilm
        from revisage.batch.video_sink import VideoSink
    except ImportError:
        how = 'pip install "revisage[video]", or give a folder of frames'
        raise RuntimeUnavailableError(f"a video file needs PyAV: {how}") from None
    source = VideoFilm(film.source, restorer.settings.limits, options.damaged)
    with VideoSink(film.out, source, saving) as sink:
        yield source, sink
