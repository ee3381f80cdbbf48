"""The degradation of the progressive face GAN: JPEG_q((n * k_sigma) down_{s x s} + n_delta) up_{u x u} (Kim
et al., BMVC 2019, eq. 1 and table), for u = 16, a thumbnail to enlarge, and u = 128, a damaged picture."""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np

from .camera import jpeg, normal_field, resize, scaled
from .kernels import convolve, gaussian
from .recipe import between, clip, draw_seed

SIDE = 128  # of the pictures that the table is made for


@dataclass(frozen=True)
class Ranges:
    """A row of the table: u, the largest k and sigma, the range of s, the largest delta, the least q."""

    u: int
    kernel: int
    sigma: float
    s: tuple[int, int]
    delta: float
    quality: int


UPSCALE = Ranges(u=16, kernel=5, sigma=5.0, s=(43, 128), delta=10.0, quality=60)
RESTORE = Ranges(u=128, kernel=11, sigma=10.0, s=(16, 128), delta=30.0, quality=50)


@dataclass(frozen=True)
class Progressive:
    """Parameters of the equation, stated for a 128 x 128 picture: side of the blur's kernel, odd, and sigma
    of its Gaussian, in pixels; side s of the reduced picture, to which noise (standard deviation, 0 to 1
    scale) and JPEG are applied; side u of the outcome."""

    u: int
    kernel: int
    sigma: float
    s: int
    noise: float
    quality: int
    seed: int

    @classmethod
    def sample(cls, rng: np.random.Generator, ranges: Ranges = RESTORE) -> Self:
        """k odd in [1, kernel], sigma in [0, sigma], s in its range, delta in [0, delta] / 255, q in
        [quality, 100], each uniform."""
        kernel = 2 * int(rng.integers(0, ranges.kernel // 2 + 1)) + 1
        sigma = between(rng, 0.0, ranges.sigma)
        s = int(rng.integers(ranges.s[0], ranges.s[1] + 1))
        noise, quality = between(rng, 0.0, ranges.delta) / 255, int(rng.integers(ranges.quality, 101))
        return cls(ranges.u, kernel, sigma, s, noise, quality, draw_seed(rng))

    def low(self, image: np.ndarray) -> np.ndarray:
        """The outcome of the equation: (H, W, 3) -> (H u / 128, W u / 128, 3)."""
        height, width = image.shape[:2]
        unit = math.sqrt(height * width) / SIDE
        half = round(self.kernel // 2 * unit)
        if half and self.sigma:
            image = convolve(image, gaussian(2 * half + 1, self.sigma * unit, self.sigma * unit))
        small = resize(image, scaled(height, self.s / SIDE), scaled(width, self.s / SIDE), "bilinear")
        if self.noise > 0:
            small = small + np.float32(self.noise) * normal_field(self.seed, *small.shape)
        small = jpeg(clip(small), self.quality)
        return resize(small, scaled(height, self.u / SIDE), scaled(width, self.u / SIDE), "bilinear")

    def apply(self, image: np.ndarray) -> np.ndarray:
        """`low`, brought back to the size of `image` (bicubic where u is smaller)."""
        return resize(self.low(image), image.shape[0], image.shape[1], "bicubic")
