"""Colour pieces of GFP-GAN's training, kept apart from its equation: jitter and random gray."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .recipe import between, clip, luminance


@dataclass(frozen=True)
class ColourShift:
    """A constant added to each channel (published: uniform within 20 / 255)."""

    shift: tuple[float, float, float]

    @classmethod
    def sample(cls, rng: np.random.Generator, most: float = 20 / 255) -> ColourShift:
        return cls((between(rng, -most, most), between(rng, -most, most), between(rng, -most, most)))

    def apply(self, image: np.ndarray) -> np.ndarray:
        return clip(image + np.array(self.shift, np.float32))


@dataclass(frozen=True)
class ColourJitter:
    """Brightness, contrast and saturation factors (published: each uniform in [0.5, 1.5])."""

    brightness: float
    contrast: float
    saturation: float

    @classmethod
    def sample(cls, rng: np.random.Generator, spread: float = 0.5) -> ColourJitter:
        low, high = 1 - spread, 1 + spread
        return cls(between(rng, low, high), between(rng, low, high), between(rng, low, high))

    def apply(self, image: np.ndarray) -> np.ndarray:
        image = clip(image * np.float32(self.brightness))
        mean = np.float32(luminance(image).mean())
        image = clip(mean + (image - mean) * np.float32(self.contrast))
        gray = luminance(image)[..., None]
        return clip(gray + (image - gray) * np.float32(self.saturation))


@dataclass(frozen=True)
class Gray:
    """The luma in all three channels."""

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Gray:
        """Nothing to draw; ``rng`` is left as it is."""
        return cls()

    def apply(self, image: np.ndarray) -> np.ndarray:
        return np.repeat(luminance(image)[..., None], 3, axis=2)
