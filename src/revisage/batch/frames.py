"""Films as a folder of numbered pictures, in and out."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from revisage.batch import storage
from revisage.batch.plan import holders, is_named_like_a_photo
from revisage.errors import PhotoError, UsageError
from revisage.image import DecodeLimits, can_encode, decode, format_of
from revisage.label import results
from revisage.options import SaveOptions
from revisage.restore import Result
from revisage.restore.video.film import Frame


@dataclass(frozen=True)
class FolderFilm:
    """The pictures of a folder in the order of their names, numbers by their value."""

    folder: Path
    limits: DecodeLimits
    damaged: bool = False

    def frames(self) -> Iterator[Frame]:
        """Raises UsageError when there is none."""
        for path in _frames(self.folder):
            try:
                yield Frame(path.name, decode(path, limits=self.limits, damaged=self.damaged))
            except PhotoError as error:
                yield Frame(path.name, error)


@dataclass(frozen=True)
class FolderSink:
    """A file for each frame, by the frame's name."""

    folder: Path
    saving: SaveOptions
    source: Path  #: the folder of the film

    def check(self) -> None:
        """Tell before the work that a frame would go where another's file is, or where another frame goes.
        Raises ExistsError, UsageError."""
        frames: dict[Path, Path] = {}
        for frame in _frames(self.source):
            path, _ = self._place(frame.name)
            if (other := frames.setdefault(path, frame)) != frame:
                raise UsageError(f"{other} and {frame.name} would both become {path}: rename one of them")
            results.check_free(path, frame, overwrite=self.saving.overwrite)

    def begin(self, *, faces: bool) -> None:
        """Each picture has its own label."""

    def write(self, frame: Frame, result: Result) -> str:
        """Raises SaveError."""
        path, format = self._place(frame.name)
        original = self.source / frame.name
        results.check_free(path, original, overwrite=self.saving.overwrite)
        data = result.encode(format, self.saving)
        results.remember(data, original)  # first: a run may be killed in between
        storage.write(path, data, like=original)
        return str(path)

    def _place(self, name: str) -> tuple[Path, str]:
        path = self.folder / name
        format = format_of(path)
        if format is None or not can_encode(format):
            return path.with_name(path.name + ".png"), "PNG"
        return path, format


def _frames(folder: Path) -> list[Path]:
    files = [path for path in folder.iterdir() if path.is_file()]
    paths = [path for path in files if is_named_like_a_photo(Path(path.name))]
    if not paths:
        held = holders(files)
        raise UsageError(f"no frames in {folder}{held and f': {held}'}")

    def order(path: Path) -> list[tuple[int, str]]:
        return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", path.name)]

    return sorted(paths, key=order)
