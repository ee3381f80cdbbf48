"""The two ways from batches to a result. Memory does not grow with the number of pictures."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor

from revisage.errors import UsageError
from revisage.lab.metrics.spec import MetricSpec


class PerPicture:
    """A metric with one value a picture: a function of (restored, truth), or of restored if it is "alone"."""

    def __init__(self, spec: MetricSpec, function: Callable[..., Tensor], sha256: dict[str, str]) -> None:
        self.spec = spec
        self.sha256 = sha256
        self._function = function
        self.reset()

    @torch.no_grad()
    def update(self, restored: Tensor, truth: Tensor | None = None) -> Tensor:
        """See `Metric.update`."""
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
        """See `Metric.result`."""
        return self._sum / self._count if self._count else math.nan

    def reset(self) -> None:
        """See `Metric.reset`."""
        self._sum, self._count = 0.0, 0


class Distribution(Protocol):
    """What is kept of the features of one side."""

    def add(self, features: Tensor) -> None:
        """Take in (N, D)."""


D = TypeVar("D", bound=Distribution)


class OfSets(Generic[D]):
    """A metric between the features of all restored pictures and those of all truths."""

    def __init__(
        self,
        spec: MetricSpec,
        features: Callable[[Tensor], Tensor],
        empty: Callable[[], D],
        distance: Callable[[D, D], float],
        sha256: dict[str, str],
    ) -> None:
        self.spec = spec
        self.sha256 = sha256
        self._features = features
        self._empty = empty
        self._distance = distance
        self.reset()

    @torch.no_grad()
    def update(self, restored: Tensor | None, truth: Tensor | None = None) -> None:
        """See `Metric.update`. The two need not be pairs: either may be None, or have another N or size."""
        for pictures, side in ((restored, self._restored), (truth, self._truth)):
            if pictures is not None:
                side.add(self._features(_checked(self.spec, pictures)))

    def result(self) -> float:
        """See `Metric.result`."""
        return self._distance(self._restored, self._truth)

    def reset(self) -> None:
        """See `Metric.reset`."""
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
