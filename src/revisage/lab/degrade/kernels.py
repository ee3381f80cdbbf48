"""Blur kernels, and the step that applies one: Real-ESRGAN's family (Wang et al., 2021, §3.2 and eq. 2)."""

import math
from dataclasses import dataclass
from itertools import product
from typing import Self

import cv2
import numpy as np

from .recipe import between, chance, clip, unit


def _quadratic_form(size: int, sigma_x: float, sigma_y: float, angle: float) -> np.ndarray:
    """x^T Sigma^-1 x on a (size, size) grid centred on zero; the sigma_x axis is turned by ``angle``."""
    axis = np.arange(size, dtype=np.float64) - (size - 1) / 2
    x, y = np.meshgrid(axis, axis)
    along = (x * math.cos(angle) + y * math.sin(angle)) / sigma_x
    across = (-x * math.sin(angle) + y * math.cos(angle)) / sigma_y
    return along**2 + across**2


def _normalised(kernel: np.ndarray) -> np.ndarray:
    return (kernel / kernel.sum()).astype(np.float32)


def gaussian(size: int, sigma_x: float, sigma_y: float, angle: float = 0.0, beta: float = 1.0) -> np.ndarray:
    """Generalised Gaussian exp(-q^beta / 2), beta 1 the Gaussian: (size, size) float32 summing to 1. Sigmas
    in pixels, angle in radians."""
    return _normalised(np.exp(-0.5 * _quadratic_form(size, sigma_x, sigma_y, angle) ** beta))


def plateau(size: int, sigma_x: float, sigma_y: float, angle: float, beta: float) -> np.ndarray:
    """Plateau-shaped kernel 1 / (1 + q^beta): (size, size) float32 summing to 1."""
    return _normalised(1.0 / (1.0 + _quadratic_form(size, sigma_x, sigma_y, angle) ** beta))


def bessel_j1(x: np.ndarray) -> np.ndarray:
    """Bessel function of the first kind, order one, for 0 <= x < 100, from its integral
    J1(x) = 1/pi int_0^pi cos(t - x sin t) dt (a midpoint sum of a periodic function: exact to rounding)."""
    nodes = 256
    t = (np.arange(nodes) + 0.5) * (math.pi / nodes)
    return np.cos(t - x[..., None] * np.sin(t)).mean(axis=-1)


def sinc(size: int, cutoff: float) -> np.ndarray:
    """Circular low pass that rings: (size, size) float32 summing to 1; cutoff in radians, (0, pi].
    Real-ESRGAN, eq. 2: k(i, j) = cutoff / (2 pi r) J1(cutoff r), r = sqrt(i^2 + j^2)."""
    half = (size - 1) // 2
    axis = np.arange(-half, half + 1)
    squares, where = np.unique(axis[:, None] ** 2 + axis[None, :] ** 2, return_inverse=True)
    radius = np.sqrt(squares[1:].astype(np.float64))
    rings = cutoff * bessel_j1(cutoff * radius) / (2 * math.pi * radius)
    values = np.concatenate([[cutoff**2 / (4 * math.pi)], rings])
    return _normalised(values[where].reshape(size, size))


def convolve(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """``image`` filtered by ``kernel``, the borders mirrored."""
    return cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REFLECT_101)


def gaussian_blur(image: np.ndarray, sigma_x: float, sigma_y: float, angle: float = 0.0) -> np.ndarray:
    """Gaussian blur of any shape, sigmas in pixels; an axis-aligned one is done by two 1-D passes."""
    if max(sigma_x, sigma_y) < 0.05:
        return image
    if sigma_x == sigma_y or angle == 0.0:
        # An explicit size: OpenCV refuses a zero sigma when it has to guess.
        reach = tuple(2 * math.ceil(3.5 * sigma) + 1 for sigma in (sigma_x, sigma_y))
        x, y = max(sigma_x, 1e-3), max(sigma_y, 1e-3)
        return cv2.GaussianBlur(image, reach, x, sigmaY=y, borderType=cv2.BORDER_REFLECT_101)
    size = 2 * math.ceil(3 * max(sigma_x, sigma_y)) + 1
    return convolve(image, gaussian(size, max(sigma_x, 0.05), max(sigma_y, 0.05), angle))


@dataclass(frozen=True)
class GaussianBlur:
    """Gaussian blur; sigmas in reference pixels, angle in radians."""

    sigma_x: float
    sigma_y: float
    angle: float

    @classmethod
    def sample(cls, rng: np.random.Generator, low: float = 0.2, high: float = 10.0) -> Self:
        """Half isotropic, half anisotropic, sigmas uniform in [low, high]."""
        sigma = between(rng, low, high)
        if chance(rng, 0.5):
            return cls(sigma, sigma, 0.0)
        return cls(sigma, between(rng, low, high), between(rng, -math.pi, math.pi))

    def apply(self, image: np.ndarray) -> np.ndarray:
        scale = unit(image)
        return clip(gaussian_blur(image, self.sigma_x * scale, self.sigma_y * scale, self.angle))


@dataclass(frozen=True)
class KernelBlur:
    """Blur by one kernel of Real-ESRGAN's family, in the picture's own pixels: ``kind`` "gaussian",
    "generalised" or "plateau" (of sigmas, angle and beta) or "sinc" (of cutoff)."""

    kind: str
    size: int
    sigma_x: float = 1.0
    sigma_y: float = 1.0
    angle: float = 0.0
    beta: float = 1.0
    cutoff: float = math.pi

    @classmethod
    def sample(cls, rng: np.random.Generator, sigma: tuple[float, float] = (0.2, 3.0)) -> Self:
        """Draw as published: sizes odd in [7, 21]; sinc 10 %; else 70 % Gaussian, 15 % generalised
        (beta in [0.5, 4]), 15 % plateau (beta in [1, 2]); isotropic to anisotropic as 45:25, 4:1, 4:1."""
        size = 2 * int(rng.integers(3, 11)) + 1
        if chance(rng, 0.1):
            return cls("sinc", size, cutoff=between(rng, math.pi / 3 if size < 13 else math.pi / 5, math.pi))
        kind, shape = _FAMILY[int(rng.choice(len(_FAMILY), p=_FAMILY_PROBABILITY))]
        sigma_x = between(rng, *sigma)
        sigma_y, angle = sigma_x, 0.0
        if shape == "anisotropic":
            sigma_y, angle = between(rng, *sigma), between(rng, -math.pi, math.pi)
        beta = 1.0
        if kind != "gaussian":
            low, top = (0.5, 4.0) if kind == "generalised" else (1.0, 2.0)
            beta = between(rng, low, 1.0) if chance(rng, 0.5) and low < 1 else between(rng, 1.0, top)
        return cls(kind, size, sigma_x, sigma_y, angle, beta)

    def kernel(self) -> np.ndarray:
        """The (size, size) float32 kernel, summing to 1."""
        if self.kind == "sinc":
            return sinc(self.size, self.cutoff)
        shape = plateau if self.kind == "plateau" else gaussian
        return shape(self.size, self.sigma_x, self.sigma_y, self.angle, self.beta)

    def apply(self, image: np.ndarray) -> np.ndarray:
        return clip(convolve(image, self.kernel()))


_FAMILY = tuple(product(("gaussian", "generalised", "plateau"), ("isotropic", "anisotropic")))
_FAMILY_PROBABILITY = (0.45, 0.25, 0.12, 0.03, 0.12, 0.03)
