"""What a metric is, what goes beside its number so that two can be compared, and the two ways to a result.

Memory does not grow with the number of pictures.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from revisage.errors import UsageError

Kind = Literal["pair", "alone", "set"]


@dataclass(frozen=True)
class MetricSpec:
    """The definition of one metric."""

    name: str
    """As in tables."""
    kind: Kind
    """"pair" compares each picture with its truth, "alone" needs no truth; both give a value a picture. "set"
    compares the distribution of all pictures with that of all truths: one value."""
    better: Literal["higher", "lower"]
    """Which way is better."""
    data_range: str
    """Of the pixels as they enter the formula."""
    colour: str
    """What of the picture enters."""
    crop: str
    """What part of it enters."""
    source: str
    """Paper, and what was left open by it."""
    unit: str = ""
    """Of the value; empty for a plain number."""
    least: int = 1
    """Smallest side of a picture in pixels."""
    weights: tuple[str, ...] = ()
    """Names in the zoo's catalogue of the files it needs."""


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


class PerPicture(Metric):
    """A metric with one value a picture: a function of (restored, truth), or of restored if it is "alone"."""

    def __init__(self, spec: MetricSpec, function: Callable[..., Tensor], sha256: dict[str, str]) -> None:
        self.spec, self.sha256, self._function = spec, sha256, function
        self.reset()

    @torch.no_grad()
    def update(self, restored: Tensor, truth: Tensor | None = None) -> Tensor:
        pictures = [_checked(self.spec, restored)]
        if self.spec.kind == "pair":
            if truth is None:
                raise UsageError(f"{self.spec.name} compares with the true picture, and none was given")
            pictures.append(_checked(self.spec, truth))
            if truth.shape != restored.shape:
                raise UsageError(
                    f"{self.spec.name} compares equal numbers of pictures of equal size, not "
                    f"{len(restored)} of {_size(restored)} with {len(truth)} of {_size(truth)}"
                )
        values = self._function(*pictures).double()
        assert values.shape == restored.shape[:1], values.shape
        known = values[~values.isnan()]
        self._sum += float(known.sum())
        self._count += len(known)
        return values

    def result(self) -> float:
        return self._sum / self._count if self._count else math.nan

    def reset(self) -> None:
        self._sum, self._count = 0.0, 0


class Gathered(Protocol):
    """What is kept of the features of one side."""

    def add(self, features: Tensor) -> None:
        """Take in (N, D)."""

    def distance(self, truth: Any) -> float:
        """How far it is from what is kept, in the same way, of the other side."""


class OfSets(Metric):
    """A metric between the features of all restored pictures and those of all truths."""

    def __init__(
        self,
        spec: MetricSpec,
        features: Callable[[Tensor], Tensor],
        empty: Callable[[], Gathered],
        sha256: dict[str, str],
    ) -> None:
        self.spec, self.sha256 = spec, sha256
        self._features, self._empty = features, empty
        self.reset()

    @torch.no_grad()
    def update(self, restored: Tensor | None, truth: Tensor | None = None) -> None:
        """See `Metric.update`. The two need not be pairs: either may be None, or have another N or size."""
        for pictures, side in ((restored, self._restored), (truth, self._truth)):
            if pictures is not None:
                side.add(self._features(_checked(self.spec, pictures)))

    def result(self) -> float:
        return self._restored.distance(self._truth)

    def reset(self) -> None:
        self._restored, self._truth = self._empty(), self._empty()


def _checked(spec: MetricSpec, pictures: Tensor) -> Tensor:
    if pictures.ndim != 4 or pictures.shape[1] != 3 or not pictures.is_floating_point():
        raise UsageError(
            f"{spec.name} takes pictures as (N, 3, H, W) floats in [0, 1], not {tuple(pictures.shape)} "
            f"{str(pictures.dtype).removeprefix('torch.')}"
        )
    if min(pictures.shape[2:]) < spec.least:
        raise UsageError(
            f"{spec.name} needs pictures of at least {spec.least} px a side, not {_size(pictures)}: "
            "leave it out, or compare at a larger size"
        )
    return pictures.float().clamp(0, 1)


def _size(pictures: Tensor) -> str:
    return f"{pictures.shape[3]}x{pictures.shape[2]}"
