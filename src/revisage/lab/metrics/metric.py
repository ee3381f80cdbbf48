"""What a metric is, and what goes beside its number so that two can be compared."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from revisage.errors import UsageError
from revisage.lab.metrics.frechet import Gaussian


@dataclass(frozen=True)
class MetricSpec:
    """The definition of one metric."""

    name: str
    """As in tables."""
    kind: Literal["pair", "alone", "set"]
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


class Gathered(Protocol):
    """What is kept of the features of one side."""

    def add(self, features: Tensor) -> None:
        """Take in (N, D)."""

    def distance(self, truth: Any) -> float:
        """How far it is from what is kept, in the same way, of the other side."""


@dataclass(frozen=True)
class Metric:
    """A metric ready for use: call it for values."""

    spec: MetricSpec
    """Its definition."""
    sha256: dict[str, str]
    """Of each file of weights in use, by its name in `spec.weights`."""
    function: Callable[..., Tensor]
    """Of (restored, truth), or of restored if it is "alone"; for a "set", of pictures to their features."""
    gather: Callable[[], Gathered] = Gaussian
    """For a "set", what is kept of the features."""

    @torch.no_grad()
    def __call__(self, restored: Tensor, truth: Tensor | None = None) -> Tensor:
        """(N, 3, H, W) RGB in [0, 1], values beyond are clipped -> (N,) float64, NaN where a picture has no
        value (no face, one colour); for a "set" the features, (N, D). Raises UsageError when shapes do not
        fit, a picture is smaller than `spec.least`, or a truth is needed and there is none."""
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
        values = self.function(*pictures)
        return values if self.spec.kind == "set" else values.double()

    def gathered(self, batches: Iterable[Tensor]) -> Gathered:
        """For a "set": one side, of batches as above. Its `distance` to the other side is the value, and
        raises UsageError for fewer than two pictures. Memory does not grow with their number."""
        side = self.gather()
        for pictures in batches:
            side.add(self(pictures))
        return side


def describe(metric: Metric) -> dict[str, Any]:
    """What to write beside the numbers, as JSON takes it: the definition and the sha256 of the weights."""
    return {**asdict(metric.spec), "weights": dict(metric.sha256)}


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
