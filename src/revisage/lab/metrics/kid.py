"""Kernel distance between two sets of features (KID)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from revisage.errors import UsageError

SUBSETS = 100
SUBSET_SIZE = 1_000
KEPT = 10_000
_SEED = 0


def mmd2(x: Tensor, y: Tensor) -> float:
    """Unbiased squared maximum mean discrepancy of (M, D) and (N, D), kernel k(a, b) = (a·b / D + 1)³.
    Bińkowski et al., *Demystifying MMD GANs*, ICLR 2018, eq. 4 and §4. It may be negative."""
    x, y = x.double(), y.double()
    m, n, d = len(x), len(y), x.shape[1]
    kxx, kyy, kxy = ((a @ b.T / d + 1) ** 3 for a, b in ((x, x), (y, y), (x, y)))
    within_x = (kxx.sum() - kxx.trace()) / (m * (m - 1))
    within_y = (kyy.sum() - kyy.trace()) / (n * (n - 1))
    return float(within_x + within_y - 2 * kxy.mean())


class Reservoir:
    """A random choice of at most `KEPT` of all features added (80 MB at 2,048 dimensions), seeded. Vitter,
    *Random sampling with a reservoir*, 1985, algorithm R: every picture is as likely to stay."""

    def __init__(self) -> None:
        self.count = 0
        self._rows: list[Tensor] = []
        self._rng = np.random.default_rng(_SEED)

    def add(self, features: Tensor) -> None:
        """Take in (N, D)."""
        for row in features.float().cpu():
            if self.count < KEPT:
                self._rows.append(row.clone())  # a copy: a view would keep the whole batch
            elif (place := int(self._rng.integers(self.count + 1))) < KEPT:
                self._rows[place] = row.clone()
            self.count += 1

    def features(self) -> Tensor:
        """(n, D); raises UsageError for fewer than two pictures."""
        if self.count < 2:
            raise UsageError(f"KID needs at least two pictures a side, not {self.count}")
        return torch.stack(self._rows)

    def distance(self, truth: Reservoir) -> float:
        """`kid` between two gathered sets."""
        return kid(self.features(), truth.features())


def kid(restored: Tensor, truth: Tensor) -> float:
    """Mean of `mmd2` over 100 pairs of random subsets of 1,000 of (M, D) and (N, D) features, seeded. Sets of
    at most 1,000 are taken whole, once: the mean over subsets is an estimate of that."""
    if max(len(restored), len(truth)) <= SUBSET_SIZE:
        return mmd2(restored, truth)
    rng = np.random.default_rng(_SEED)

    def subset(features: Tensor) -> Tensor:
        return features[rng.permutation(len(features))[:SUBSET_SIZE]]

    return float(np.mean([mmd2(subset(restored), subset(truth)) for _ in range(SUBSETS)]))
