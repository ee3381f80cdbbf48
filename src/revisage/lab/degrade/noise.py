"""Sensor noise: Gaussian (read-out) and Poisson (photon), coloured or the same in all channels."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from .recipe import between, chance, clip, draw_seed

_GRAY = 0.4  # share of noise that is the same in all channels, as published


def normal_field(seed: int, height: int, width: int, channels: int) -> np.ndarray:
    """(height, width, channels) float32 of independent standard normal values."""
    return np.random.default_rng(seed).standard_normal((height, width, channels), dtype=np.float32)


@dataclass(frozen=True)
class GaussianNoise:
    """Additive white Gaussian noise of standard deviation ``sigma`` (pictures run from 0 to 1)."""

    sigma: float
    gray: bool
    seed: int

    @classmethod
    def sample(cls, rng: np.random.Generator, low: float = 1.0, high: float = 30.0) -> Self:
        """``low`` and ``high`` bound sigma on the 8-bit scale."""
        return cls(between(rng, low, high) / 255, chance(rng, _GRAY), draw_seed(rng))

    def apply(self, image: np.ndarray) -> np.ndarray:
        if self.sigma == 0:
            return image
        noise = normal_field(self.seed, image.shape[0], image.shape[1], 1 if self.gray else 3)
        noise *= self.sigma
        return clip(image + noise)


@dataclass(frozen=True)
class PoissonNoise:
    """Shot noise: variance scale^2 x value / 256, so brighter parts shake more.

    Counts at 256 levels are large enough for the normal law to stand in for Poisson's.
    """

    scale: float
    gray: bool
    seed: int

    @classmethod
    def sample(cls, rng: np.random.Generator, low: float = 0.05, high: float = 3.0) -> Self:
        return cls(between(rng, low, high), chance(rng, _GRAY), draw_seed(rng))

    def apply(self, image: np.ndarray) -> np.ndarray:
        light = image.mean(axis=2, keepdims=True) if self.gray else image
        noise = normal_field(self.seed, image.shape[0], image.shape[1], light.shape[2])
        noise *= np.sqrt(light) * (self.scale / 16)
        return clip(image + noise)
