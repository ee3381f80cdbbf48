"""GFP-GAN's degradation (Wang et al., CVPR 2021, eq. 11), lengths in pixels of a picture of 512: x =
JPEG_q((y * k_sigma) down_r + n_delta), resized back, with two ranges of r: "paper" as published, "hard" twice
as small, as faces in group photos are. Training draws from both."""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np

from .camera import jpeg, normal_field, resize, scaled
from .kernels import gaussian_blur
from .recipe import REFERENCE, Step, between, chance, clip, draw_seed, single_steps, unit

PAPER = (1.0, 8.0)
HARD = (2.0, 16.0)
BOTH = (1.0, 16.0)


@dataclass(frozen=True)
class Gfpgan:
    """Parameters of the equation for a 512 x 512 face: blur sigma_x, sigma_y in pixels at 512, angle in
    radians; downsampling factor r; noise, as a standard deviation (0 to 1 scale), on the 512 / r picture;
    quality of the JPEG, 1 to 100."""

    sigma_x: float
    sigma_y: float
    angle: float
    factor: float
    noise: float
    quality: int
    seed: int

    @classmethod
    def sample(
        cls, rng: np.random.Generator, blur: float = 10.0, factors: tuple[float, float] = PAPER
    ) -> Self:
        """sigma in [0.2, blur], half of the kernels anisotropic as in the published code, r in `factors`,
        delta in [0, 15] / 255, q in [60, 100]."""
        sigma_x = between(rng, 0.2, blur)
        sigma_y, angle = sigma_x, 0.0
        if chance(rng, 0.5):
            sigma_y, angle = between(rng, 0.2, blur), between(rng, -math.pi, math.pi)
        factor, noise = between(rng, *factors), between(rng, 0.0, 15.0) / 255
        return cls(sigma_x, sigma_y, angle, factor, noise, int(rng.integers(60, 101)), draw_seed(rng))

    def described(self) -> tuple[float, ...]:
        """(6,) numbers of about unit size, without jumps: log of the mean sigma, how much longer one axis of
        the blur is as a vector of twice its angle, log r, delta and 100 - q as shares of the most."""
        longer = math.log(self.sigma_x / self.sigma_y)
        return (
            math.log(self.sigma_x * self.sigma_y) / 2,
            longer * math.cos(2 * self.angle),
            longer * math.sin(2 * self.angle),
            math.log(self.factor),
            self.noise * 255 / 15,
            (100 - self.quality) / 40,
        )

    def apply(self, image: np.ndarray) -> np.ndarray:
        """Degrade a picture of any size as if it were seen at 512 pixels.

        The low picture has 512 / r pixels a side, but never more than ``image``: when it would, the picture
        keeps its size and the noise is reduced as averaging the finer grid would reduce it.
        (Near r = 2 at 256 pixels noise shows up to 4 dB more than in a 512 picture reduced to 256, which the
        resize back has smoothed; elsewhere the two agree within 1 dB.)
        """
        height, width = image.shape[:2]
        scale = unit(image)
        blurred = gaussian_blur(image, self.sigma_x * scale, self.sigma_y * scale, self.angle)
        shrink = (REFERENCE / self.factor) / (scale * REFERENCE)
        low = blurred
        if shrink < 1:
            low = resize(blurred, scaled(height, shrink), scaled(width, shrink), "bilinear")
        noise = self.noise / max(shrink, 1.0)
        if noise > 0:
            low = low + np.float32(noise) * normal_field(self.seed, low.shape[0], low.shape[1], 3)
        return resize(jpeg(clip(low), self.quality), height, width, "bilinear")


def description(params: Step) -> np.ndarray:
    """(6,) float32: `Gfpgan.described` of the equation among the steps; NaN where there is none."""
    drawn = (step.described() for step in single_steps(params) if isinstance(step, Gfpgan))
    return np.array(next(drawn, (math.nan,) * 6), np.float32)
