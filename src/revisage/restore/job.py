"""What one call of `restore` carries with it: its options, its listener, its clock."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from revisage.options import RestoreOptions
from revisage.restore.progress import Progress
from revisage.restore.report import STAGES


@dataclass
class Job:
    """Lives for one photo in one thread."""

    options: RestoreOptions
    progress: Progress
    spent: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))

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
