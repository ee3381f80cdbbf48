"""What a camera and its file lose: resolution, by the three filters of Real-ESRGAN; sensor noise; JPEG."""

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np

from .recipe import between, chance, clip, draw_seed

FILTERS = {"area": cv2.INTER_AREA, "bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC}


def resize(image: np.ndarray, height: int, width: int, how: str) -> np.ndarray:
    """``image`` at ``height`` x ``width`` by ``how`` ("area", "bilinear", "bicubic"), still in [0, 1]."""
    if image.shape[:2] == (height, width):
        return image
    # Even the averaging filters pass 1 by a rounding error.
    return clip(cv2.resize(image, (width, height), interpolation=FILTERS[how]))


def scaled(length: int, factor: float) -> int:
    """``length`` times ``factor`` in whole pixels, at least one."""
    return max(1, round(length * factor))


def draw_filter(rng: np.random.Generator) -> str:
    """One of `FILTERS`."""
    return tuple(FILTERS)[int(rng.integers(len(FILTERS)))]


@dataclass(frozen=True)
class LowResolution:
    """Downsample by ``factor`` >= 1 and back to the original size."""

    factor: float
    down: str
    up: str

    @classmethod
    def sample(cls, rng: np.random.Generator, low: float = 1.0, high: float = 4.0) -> Self:
        factor, down = between(rng, low, high), draw_filter(rng)
        return cls(factor, down, ("bilinear", "bicubic")[int(rng.integers(2))])

    def apply(self, image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        low = resize(image, scaled(height, 1 / self.factor), scaled(width, 1 / self.factor), self.down)
        return resize(low, height, width, self.up)


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
    """Shot noise, as a normal law of variance scale^2 x value / 256, so that brighter parts shake more."""

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


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """``image`` after one JPEG round trip at ``quality`` (1 to 100), chroma at half size as is usual."""
    eight_bit = np.rint(image * 255).astype(np.uint8)
    eight_bit = cv2.cvtColor(eight_bit, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(".jpg", eight_bit, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    decoded = cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    return decoded.astype(np.float32) * np.float32(1 / 255)


@dataclass(frozen=True)
class Jpeg:
    """JPEG at ``quality`` (1 to 100)."""

    quality: int

    @classmethod
    def sample(cls, rng: np.random.Generator, low: int = 30, high: int = 95) -> Self:
        return cls(int(rng.integers(low, high + 1)))

    def apply(self, image: np.ndarray) -> np.ndarray:
        return jpeg(image, self.quality)
