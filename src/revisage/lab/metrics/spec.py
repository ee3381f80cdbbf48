"""What a metric is and what goes beside its number, so that two numbers can be compared."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

from torch import Tensor

Kind = Literal["pair", "alone", "set"]


@dataclass(frozen=True)
class MetricSpec:
    """The definition of one metric.

    Attributes:
        name: as in tables.
        kind: "pair" compares each picture with its truth, "alone" needs no truth; both give a value a
            picture. "set" compares the distribution of all pictures with that of all truths: one value.
        better: which way is better.
        data_range: of the pixels as they enter the formula.
        colour: what of the picture enters.
        crop: what part of it enters.
        source: paper, and what was left open by it.
        unit: of the value; empty for a plain number.
        least: smallest side of a picture in pixels.
        weights: names in the zoo's catalogue of the files it needs.
    """

    name: str
    kind: Kind
    better: Literal["higher", "lower"]
    data_range: str
    colour: str
    crop: str
    source: str
    unit: str = ""
    least: int = 1
    weights: tuple[str, ...] = ()


class Metric(Protocol):
    """A metric at work on the results of one method: feed it every batch, then ask for the result."""

    spec: MetricSpec
    sha256: dict[str, str]
    """Of each file of weights in use, by its name in `spec.weights`."""

    def update(self, restored: Tensor, truth: Tensor | None = None) -> Tensor | None:
        """Take in (N, 3, H, W) RGB in [0, 1]; values beyond are clipped.

        Returns (N,) float64, one value a picture, or None where only the whole set has a value. A picture
        that has none (no face found, nothing but one colour) gets NaN.

        Raises UsageError when shapes do not fit, a picture is smaller than `spec.least`, or the metric needs
        a truth and there is none.
        """

    def result(self) -> float:
        """Mean over the pictures so far that have a value (NaN when none has), or the set's value.

        Raises UsageError when a set is too small to have one.
        """

    def reset(self) -> None:
        """Forget all pictures, as before the first `update`; the weights stay loaded."""


def describe(metric: Metric) -> dict[str, Any]:
    """What to write beside the numbers, as JSON takes it: the definition and the sha256 of the weights."""
    return {**asdict(metric.spec), "weights": dict(metric.sha256)}
