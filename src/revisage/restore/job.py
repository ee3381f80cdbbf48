"""What one call of `restore` carries with it: its options, its listener, its clock."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from revisage.faces import Face
from revisage.image import Photo
from revisage.options import RestoreOptions
from revisage.restore.progress import Progress, silent
from revisage.restore.repair import Repair
from revisage.restore.report import STAGES

Sketch = Callable[[Photo, Photo], None]
"""Takes a photo as it was read, and its restored faces on it, plainly enlarged."""


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
