"""Real-ESRGAN's first- and second-order degradation (Wang et al., 2021, section 3). Lengths are the picture's
own pixels, as published: these degradations happen on a sensor or in a file, whatever it shows."""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np

from .camera import GaussianNoise, Jpeg, PoissonNoise, draw_filter, resize, scaled
from .kernels import KernelBlur, convolve, sinc
from .recipe import between, chance, clip


@dataclass(frozen=True)
class Ranges:
    """What one order draws from; ``resize``: chances of (up, down, keep); ``noise``: on the 8-bit scale."""

    blur_probability: float = 1.0
    sigma: tuple[float, float] = (0.2, 3.0)
    resize: tuple[float, float, float] = (0.2, 0.7, 0.1)
    factor: tuple[float, float] = (0.15, 1.5)
    noise: tuple[float, float] = (1.0, 30.0)
    poisson: tuple[float, float] = (0.05, 3.0)
    quality: tuple[int, int] = (30, 95)


FIRST = Ranges()
# fmt: off
SECOND = Ranges(
    blur_probability=0.8, sigma=(0.2, 1.5), resize=(0.3, 0.4, 0.3), factor=(0.3, 1.2), noise=(1.0, 25.0),
    poisson=(0.05, 2.5))
# Milder ranges for faces of 256 pixels: the published ones leave no face to restore.
MILD_FIRST = Ranges(
    sigma=(0.2, 2.0), factor=(0.35, 1.3), noise=(1.0, 18.0), poisson=(0.05, 1.8), quality=(45, 95))
MILD_SECOND = Ranges(
    blur_probability=0.5, sigma=(0.2, 1.0), resize=(0.3, 0.4, 0.3), factor=(0.5, 1.2), noise=(1.0, 12.0),
    poisson=(0.05, 1.2), quality=(50, 95))
# Milder still, for whole photos seen at their own size.
SCENE_FIRST = Ranges(
    sigma=(0.2, 1.6), factor=(0.45, 1.3), noise=(1.0, 13.0), poisson=(0.05, 1.3), quality=(45, 95))
SCENE_SECOND = Ranges(
    blur_probability=0.4, sigma=(0.2, 0.8), resize=(0.2, 0.3, 0.5), factor=(0.6, 1.2), noise=(1.0, 8.0),
    poisson=(0.05, 0.8), quality=(55, 95))
# fmt: on


@dataclass(frozen=True)
class Order:
    """Blur, resize, noise: one order without its JPEG. ``factor`` is relative to the picture's full size."""

    blur: KernelBlur | None
    factor: float
    how: str
    noise: GaussianNoise | PoissonNoise

    @classmethod
    def sample(cls, rng: np.random.Generator, ranges: Ranges) -> Self:
        blur = KernelBlur.sample(rng, ranges.sigma) if chance(rng, ranges.blur_probability) else None
        direction = int(rng.choice(3, p=ranges.resize))
        factor = (between(rng, 1.0, ranges.factor[1]), between(rng, ranges.factor[0], 1.0), 1.0)[direction]
        noise: GaussianNoise | PoissonNoise
        if chance(rng, 0.5):
            noise = GaussianNoise.sample(rng, *ranges.noise)
        else:
            noise = PoissonNoise.sample(rng, *ranges.poisson)
        return cls(blur, factor, draw_filter(rng), noise)

    def apply(self, image: np.ndarray, height: int, width: int) -> np.ndarray:
        """``height`` and ``width`` are what factor 1 means; the picture comes back at factor times them."""
        if self.blur is not None:
            image = self.blur.apply(image)
        resized = resize(image, scaled(height, self.factor), scaled(width, self.factor), self.how)
        return self.noise.apply(resized)


@dataclass(frozen=True)
class FirstOrder:
    """One order and its JPEG, resized back to the picture's size by ``back``."""

    order: Order
    jpeg: Jpeg
    back: str

    @classmethod
    def sample(cls, rng: np.random.Generator, ranges: Ranges = FIRST) -> Self:
        return cls(Order.sample(rng, ranges), Jpeg.sample(rng, *ranges.quality), draw_filter(rng))

    def apply(self, image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        low = self.jpeg.apply(self.order.apply(image, height, width))
        return resize(low, height, width, self.back)


@dataclass(frozen=True)
class SecondOrder:
    """Two orders, a sinc filter against or after the last JPEG, at 1 / ``scale`` (which a restorer would have
    to undo: 1, 2 or 4) of the size and back. ``sinc_first``: the last resize and sinc come before the last
    JPEG; ``sinc_size`` is 0 for no sinc filter."""

    first: Order
    first_jpeg: Jpeg
    second: Order
    second_jpeg: Jpeg
    sinc_first: bool
    sinc_size: int
    sinc_cutoff: float
    scale: int
    how: str

    @classmethod
    def sample(
        cls,
        rng: np.random.Generator,
        first: Ranges = FIRST,
        second: Ranges = SECOND,
        scales: tuple[int, ...] = (1, 2, 4),
    ) -> Self:
        sinc_size = 2 * int(rng.integers(3, 11)) + 1 if chance(rng, 0.8) else 0
        return cls(
            Order.sample(rng, first),
            Jpeg.sample(rng, *first.quality),
            Order.sample(rng, second),
            Jpeg.sample(rng, *second.quality),
            chance(rng, 0.5),
            sinc_size,
            between(rng, math.pi / 3, math.pi),
            scales[int(rng.integers(len(scales)))],
            draw_filter(rng),
        )

    def _settle(self, image: np.ndarray, height: int, width: int) -> np.ndarray:
        image = resize(image, height, width, self.how)
        if self.sinc_size:
            image = clip(convolve(image, sinc(self.sinc_size, self.sinc_cutoff)))
        return image

    def reduce(self, image: np.ndarray) -> np.ndarray:
        """(H, W, 3) -> (H / scale, W / scale, 3): the pipeline as published, which ends at the low size."""
        height, width = image.shape[:2]
        low_height, low_width = scaled(height, 1 / self.scale), scaled(width, 1 / self.scale)
        low = self.first_jpeg.apply(self.first.apply(image, height, width))
        low = self.second.apply(low, low_height, low_width)
        if self.sinc_first:
            return self.second_jpeg.apply(self._settle(low, low_height, low_width))
        return self._settle(self.second_jpeg.apply(low), low_height, low_width)

    def apply(self, image: np.ndarray) -> np.ndarray:
        return resize(self.reduce(image), image.shape[0], image.shape[1], "bicubic")
