"""What one call of `restore` carries with it: its options, its listener, its clock."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from revisage.errors import OptionError, UsageError, did_you_mean
from revisage.faces import Face
from revisage.image import Photo
from revisage.image.prints import Print
from revisage.options import Checked, RestoreOptions
from revisage.restore.progress import Progress, silent
from revisage.restore.repair import Repair
from revisage.restore.report import STAGES

Sketch = Callable[[Photo, Photo], None]
"""Takes a photo as it was read, and its restored faces on it, plainly enlarged."""

Options = TypeVar("Options", bound=Checked)


def with_changes(options: Options | None, kind: type[Options], changes: dict[str, Any]) -> Options:
    """The options with what a caller's keywords say; a mask may be the path of a file as text, which nobody
    may name by HTTP. Raises UsageError for another kind, and for words and values that are none of theirs."""
    if not isinstance(options := kind() if options is None else options, kind):
        raise UsageError(f"give {kind.__name__}(NAME=...), or NAME=... alone, not a {type(options).__name__}")
    known: list[str] = [field.name for field in fields(options)]  # type: ignore[arg-type]
    if "color" in changes and "colour" in known:
        changes = {"colour": changes["color"]} | {key: changes[key] for key in changes if key != "color"}
    if unknown := next((key for key in changes if key not in known), None):
        raise OptionError(f"there is no option {unknown!r}{did_you_mean(unknown, known)}")
    if isinstance(mask := changes.get("mask"), str) and os.path.isfile(mask):
        changes = changes | {"mask": Path(mask)}
    elif isinstance(mask, str) and "." in mask:
        raise UsageError(f"the mask {mask} cannot be opened: there is no such file, and it is no base64")
    return replace(options, **changes)  # type: ignore[type-var]


@dataclass
class Job:
    """Lives for one photo in one thread."""

    options: RestoreOptions
    progress: Progress = silent
    spent: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))
    given: Sequence[Face] | None = None  #: the faces, where they are not to be looked for
    every: bool = False  #: restore every face, for results of any choice and strength
    sketch: Sketch | None = None
    neutral: bool = False  #: the photo is gray
    finder: str | None = None  #: name and version of what found its faces
    repair: Repair | None = None  #: what was repaired in it
    red_eyes: int = 0  #: made dark in it
    frame: Print | None = None  #: what was cut out of it

    def __post_init__(self) -> None:
        given = self.given if isinstance(self.given, Sequence) else [self.given]
        if self.given is not None and not all(isinstance(face, Face) for face in given):
            raise UsageError("found: give a list of faces, such as `find` returns")

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the time the block takes to a stage of the report."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.spent[stage] += time.perf_counter() - start

    def seconds(self) -> dict[str, float]:
        """Time by stage so far."""
        return {stage: round(value, 4) for stage, value in self.spent.items()}

    @property
    def keep(self) -> bool:
        """Whether the photo's own tone stays."""
        return self.options.colour != "enhance"
