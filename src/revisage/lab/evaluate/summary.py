"""Means with intervals, by bootstrap over pictures: the same numbers from the same values, every time."""

import math
from dataclasses import dataclass

import numpy as np

DRAWS = 2000
SEED = 0
_AT_ONCE = 2_000_000  # numbers held while drawing


@dataclass(frozen=True)
class Summary:
    """A figure: mean, 95 % interval (None where there is none), and how many pictures it is of."""

    mean: float
    interval: tuple[float, float] | None
    n: int

    def entry(self) -> dict[str, object]:
        """In JSON types; what is no finite number becomes null."""
        interval = None if self.interval is None else [_finite(value) for value in self.interval]
        return {"mean": _finite(self.mean), "ci95": interval, "n": self.n}


def summarise(values: np.ndarray) -> Summary:
    """Mean of (N,) with its 95 % percentile interval (Efron and Tibshirani, 1993, ch. 13); NaN is left out.
    With fewer than two values, or an infinite one, there is no interval; with none the mean is NaN."""
    known = values[~np.isnan(values)]
    if len(known) < 2 or not np.isfinite(known).all():
        return Summary(float(known.mean()) if len(known) else math.nan, None, len(known))
    return Summary(float(known.mean()), _percentiles(_drawn_means(known)), len(known))


@dataclass(frozen=True)
class Gap:
    """The largest difference between two groups' means."""

    low: str
    high: str
    """The groups with the least and the greatest mean."""
    gap: Summary
    """The difference, with its interval."""
    chance: float
    """What the gap stays under in 95 % of random labellings of the same pictures: the largest of many
    differences is above 0 even where the labels mean nothing."""

    def entry(self) -> dict[str, object]:
        """In JSON types."""
        return {"low": self.low, "high": self.high, **self.gap.entry(), "chance95": _finite(self.chance)}


def largest_gap(groups: dict[str, np.ndarray]) -> Gap | None:
    """Of the values (N_g,) of each group; pictures are drawn within their groups. None under two groups.
    Groups of fewer than two finite values are left out."""
    known = {name: values[np.isfinite(values)] for name, values in groups.items()}
    known = {name: values for name, values in known.items() if len(values) > 1}
    if len(known) < 2:
        return None
    names = list(known)
    means = [float(known[name].mean()) for name in names]
    low, high = int(np.argmin(means)), int(np.argmax(means))
    drawn = np.stack([_drawn_means(values, SEED + i) for i, values in enumerate(known.values())])
    everyone = np.concatenate(list(known.values()))
    starts = np.cumsum([0, *(len(values) for values in known.values())])[:-1]
    sizes = np.array([len(values) for values in known.values()])
    rng = np.random.default_rng(SEED)
    shuffled = [np.ptp(np.add.reduceat(rng.permutation(everyone), starts) / sizes) for _ in range(DRAWS)]
    gap = Summary(means[high] - means[low], _percentiles(drawn.max(0) - drawn.min(0)), len(everyone))
    return Gap(names[low], names[high], gap, float(np.percentile(shuffled, 95)))


def _drawn_means(values: np.ndarray, seed: int = SEED) -> np.ndarray:
    """(DRAWS,) means of values drawn with replacement, in blocks of bounded size."""
    rng, n = np.random.default_rng(seed), len(values)
    rows = max(1, _AT_ONCE // n)
    sizes = [(min(rows, DRAWS - start), n) for start in range(0, DRAWS, rows)]
    return np.concatenate([values[rng.integers(n, size=size)].mean(axis=1) for size in sizes])


def _percentiles(values: np.ndarray) -> tuple[float, float]:
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
