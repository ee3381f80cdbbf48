"""Films as a folder of numbered pictures, in and out."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from revisage.batch import storage
from revisage.batch.plan import holders, is_named_like_a_photo
from revisage.errors import PhotoError, UsageError
from revisage.image import DecodeLimits, can_encode, decode, format_of
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
        files = [path for path in self.folder.iterdir() if path.is_file()]
        paths = [path for path in files if is_named_like_a_photo(Path(path.name))]
        if not paths:
            held = holders(files)
            raise UsageError(f"no frames in {self.folder}{held and f': {held}'}")
        for path in sorted(paths, key=_order):
            try:
                yield Frame(path.name, decode(path, limits=self.limits, damaged=self.damaged))
            except PhotoError as error:
                yield Frame(path.name, error)


@dataclass(frozen=True)
class FolderSink:
    """A file for each frame, by the frame's name."""

    folder: Path
    saving: SaveOptions

    def begin(self, *, faces: bool) -> None:
        """Each picture has its own label."""

    def write(self, frame: Frame, result: Result) -> str:
        """Raises SaveError."""
        path = self.folder / frame.name
        format = format_of(path)
        if format is None or not can_encode(format):
            path, format = path.with_name(path.name + ".png"), "PNG"
        storage.write(path, result.encode(format, self.saving))
        return str(path)


def _order(path: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", path.name)]
