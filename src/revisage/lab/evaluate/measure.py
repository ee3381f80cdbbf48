"""Metrics ready for evaluation, the table's and those of expressions, each fed with what it looks at."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from revisage import zoo
from revisage.errors import UsageError
from revisage.faces import Detector
from revisage.lab import metrics
from revisage.lab.evaluate import expressions
from revisage.lab.evaluate.data import Data
from revisage.lab.metrics import Metric

DEFAULT = ("psnr", "ssim", "ms_ssim", "niqe", "degrees")
DEFAULT_ALONE = ("niqe",)


def names() -> list[str]:
    """Every metric there is."""
    return [*metrics.METRICS, *expressions.METRICS]


def open_metrics(
    wanted: Sequence[str],
    data: Data,
    weights: Path | None = None,
    expression: str = "auto",
    reference: bool = False,
) -> list[Metric]:
    """The metrics of these names; without any, the usual ones for this data. `weights` is a folder of theirs,
    `expression` the model that recognises expressions, `reference` whether there is a set that "set" metrics
    compare with. `expression_unstable` comes with `expression_changed`, to read it by.

    Raises UsageError (no such metric, twice the same, or one that needs a truth that the data does not have),
    and what `revisage.lab.metrics.load` does.
    """
    chosen = list(wanted) or list(DEFAULT if data.has_truth else DEFAULT_ALONE)
    if unknown := [name for name in chosen if name not in names()]:
        raise UsageError(f"no metric is called {', '.join(unknown)}; there are {', '.join(names())}")
    if len(set(chosen)) < len(chosen):
        raise UsageError("a metric is named twice")
    if expressions.CHANGED in chosen and expressions.UNSTABLE not in chosen:
        chosen.insert(chosen.index(expressions.CHANGED) + 1, expressions.UNSTABLE)
    known = [name for name in chosen if name in metrics.METRICS]
    for name in known:
        kind = metrics.METRICS[name].spec.kind
        if not data.has_truth and (kind == "pair" or (kind == "set" and not reference)):
            other = "a reference set: give --reference" if kind == "set" else "truths"
            raise UsageError(f"{name} compares with {other}, and --images has none")
    opened = {metric.spec.name: metric for metric in metrics.load(known, weights, _find_landmarks)}
    if len(known) < len(chosen):
        classifier = expressions.ModelClassifier(expression)
        opened |= {name: make(classifier) for name, make in expressions.METRICS.items() if name in chosen}
    return [opened[name] for name in chosen]


def to_batch(pictures: Sequence[np.ndarray]) -> Tensor:
    """(H, W, 3) uint8 of one size -> (N, 3, H, W) float32 in [0, 1]."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float().div(255).contiguous()


@cache
def _detector() -> Detector:
    return Detector(zoo.resolve("finder").path)


def _find_landmarks(pictures: Tensor) -> Tensor:
    """The five landmarks of the largest face of each (N, 3, H, W); NaN where none is found."""
    detector = _detector()
    points = torch.full((len(pictures), 5, 2), torch.nan, dtype=torch.float64)
    for row, picture in zip(points, pictures, strict=True):
        pixels = (picture.permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
        found = detector.find(np.ascontiguousarray(pixels))
        if found:
            row[:] = torch.from_numpy(found[0].landmarks.astype(np.float64))
    return points
