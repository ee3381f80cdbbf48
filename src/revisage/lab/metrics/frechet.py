"""Fréchet distance between two sets of features, what is kept of a set, and Inception's features (FID)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from revisage.errors import ModelCorruptError, UsageError, one_line
from revisage.lab.metrics.weights import read_state


def frechet(mean_a: Tensor, cov_a: Tensor, mean_b: Tensor, cov_b: Tensor) -> float:
    """d² = |μa - μb|² + tr(Σa + Σb - 2 (Σa Σb)^½) between two Gaussians; means (D,), covariances (D, D).

    Dowson and Landau, *The Fréchet distance between multivariate normal distributions*, 1982. The trace of
    the root is that of (√Σa Σb √Σa)^½, which is symmetric: no imaginary part arises. Never negative.
    """
    mean_a, cov_a, mean_b, cov_b = (t.double() for t in (mean_a, cov_a, mean_b, cov_b))
    values, vectors = torch.linalg.eigh(cov_a)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    inner = torch.linalg.eigvalsh(root @ cov_b @ root).clamp(min=0)
    distance = (mean_a - mean_b).square().sum() + cov_a.trace() + cov_b.trace() - 2 * inner.sqrt().sum()
    return max(0.0, float(distance))


class Gaussian:
    """Mean and covariance (divided by n - 1) of all features added, in float64: O(D²) memory for any n."""

    def __init__(self) -> None:
        self.count = 0
        self._mean = torch.zeros(())
        self._scatter = torch.zeros(())

    def add(self, features: Tensor) -> None:
        """Take in (N, D). Chan et al., *Updating formulae for computing sample variances*, 1979."""
        features = features.double().cpu()
        n = len(features)
        if n == 0:
            return
        mean = features.mean(0)
        centred = features - mean
        shift = mean - self._mean
        total = self.count + n
        between = torch.outer(shift, shift) * (self.count * n / total)
        self._scatter = self._scatter + centred.T @ centred + between
        self._mean, self.count = self._mean + shift * (n / total), total

    def moments(self) -> tuple[Tensor, Tensor]:
        """(D,) mean and (D, D) covariance; raises UsageError for fewer than two pictures."""
        if self.count < 2:
            raise UsageError(f"a Fréchet distance needs at least two pictures a side, not {self.count}")
        return self._mean, self._scatter / (self.count - 1)

    def distance(self, truth: Gaussian) -> float:
        """`frechet` between two gathered sets."""
        return frechet(*self.moments(), *truth.moments())


def open_inception(path: Path) -> Callable[[Tensor], Tensor]:
    """(N, 3, H, W) in [0, 1] -> (N, 2048) features of the last pooling, from torch-fidelity's weights: the
    network of the first FID (Heusel et al., *GANs Trained by a Two Time-Scale Update Rule*, NeurIPS 2017),
    resized as there.

    Raises ModelCorruptError when the file is not this network's state dict.
    """
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    read_state(path)  # says what is wrong with a file that is no checkpoint, and runs no pickled code
    try:
        network = FeatureExtractorInceptionV3(
            "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(path)
        )
    except RuntimeError as error:
        raise ModelCorruptError(f"{path} holds no Inception of torch-fidelity: {one_line(error)}") from None
    network.eval().requires_grad_(False)

    def features(pictures: Tensor) -> Tensor:
        (pooled,) = network((pictures * 255).round().to(torch.uint8))
        return pooled.float()

    return features
