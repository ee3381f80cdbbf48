"""Colour pieces of GFP-GAN's training, kept apart from its equation: shift, jitter and random gray."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from .recipe import Drawn, Step, between, chance, clip, drawn, luminance, within


@dataclass(frozen=True)
class ColourShift(Drawn):
    """A constant added to each channel (published: uniform within 20 / 255)."""

    shift: tuple[float, float, float] = drawn(
        lambda rng, _: tuple(between(rng, -20 / 255, 20 / 255) for _ in range(3))
    )

    def apply(self, image: np.ndarray) -> np.ndarray:
        return clip(image + np.array(self.shift, np.float32))


@dataclass(frozen=True)
class ColourJitter(Drawn):
    """Brightness, contrast, saturation (factors, of which 1 changes nothing) and hue (a turn of the colour
    circle in [-0.5, 0.5]), changed in the order of `order`, each as torchvision does. Drawn as published."""

    order: tuple[str, ...] = drawn(
        lambda rng, _: tuple(str(name) for name in rng.permutation(list(_CHANGES)))
    )
    brightness: float = within(0.5, 1.5)
    contrast: float = within(0.5, 1.5)
    saturation: float = within(0.0, 1.5)
    hue: float = within(-0.1, 0.1)

    def apply(self, image: np.ndarray) -> np.ndarray:
        for name in self.order:
            image = _CHANGES[name](image, getattr(self, name))
        return image


@dataclass(frozen=True)
class Gray(Drawn):
    """The luma in all three channels. There is nothing to draw."""

    def apply(self, image: np.ndarray) -> np.ndarray:
        return np.repeat(luminance(image)[..., None], 3, axis=2)


def colour_changes(rng: np.random.Generator) -> tuple[Step, ...]:
    """What the published training does to the colours of the degraded picture, with its probabilities."""
    kinds = ((0.3, ColourShift), (0.01, Gray), (0.3, ColourJitter))
    return tuple(kind.sample(rng) for probability, kind in kinds if chance(rng, probability))


def _spread(image: np.ndarray, centre: np.ndarray, factor: float) -> np.ndarray:
    return clip(centre + (image - centre) * np.float32(factor))


def _turn_hue(image: np.ndarray, turn: float) -> np.ndarray:
    hsv = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2HSV)  # of floats: H in degrees
    hsv[..., 0] = (hsv[..., 0] + np.float32(360 * turn)) % np.float32(360)
    return clip(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB))


_CHANGES: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
    "brightness": lambda image, factor: clip(image * np.float32(factor)),
    "contrast": lambda image, factor: _spread(image, luminance(image).mean(), factor),
    "saturation": lambda image, factor: _spread(image, luminance(image)[..., None], factor),
    "hue": _turn_hue,
}
