"""Weights of losses that change with the epoch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """A weight that grows with the epoch, at most linearly (Kim et al., BMVC 2019, "Dynamic weighting").

    Attributes:
        start: its value at epoch 0.
        growth: added in each epoch.
        most: it stays there once it is reached; None for no end.

    Raises ValueError for a weight below 0 or one that falls. To plot it: `[schedule.at(e) for e in epochs]`.
    """

    start: float
    growth: float = 0.0
    most: float | None = None

    def __post_init__(self) -> None:
        if self.start < 0 or self.growth < 0:
            raise ValueError(f"a weight starts at 0 or more and does not fall, got {self}")
        if self.most is not None and self.most < self.start:
            raise ValueError(f"a weight cannot end below its start, got {self}")

    @property
    def ever(self) -> bool:
        """Whether it is above 0 at any epoch."""
        return self.start > 0 or self.growth > 0

    def at(self, epoch: float) -> float:
        """The weight at an epoch, which may be a fraction: epoch 0.5 is half-way through the first."""
        value = self.start + self.growth * max(epoch, 0.0)
        return value if self.most is None else min(value, self.most)
