"""Resizing with the three filters of Real-ESRGAN, and the step that loses resolution and comes back."""

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np

from .recipe import between, clip

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


@dataclass(frozen=True)
class LowResolution:
    """Downsample by ``factor`` >= 1 and back to the original size."""

    factor: float
    down: str
    up: str

    @classmethod
    def sample(cls, rng: np.random.Generator, low: float = 1.0, high: float = 4.0) -> Self:
        factor, down = between(rng, low, high), tuple(FILTERS)[int(rng.integers(3))]
        return cls(factor, down, ("bilinear", "bicubic")[int(rng.integers(2))])

    def apply(self, image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        low = resize(image, scaled(height, 1 / self.factor), scaled(width, 1 / self.factor), self.down)
        return resize(low, height, width, self.up)
