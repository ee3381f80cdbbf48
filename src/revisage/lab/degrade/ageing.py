"""What time and process do to a whole print: fading, dyes, toning, yellow paper, grain, halftone, texture."""

import functools
import math
from dataclasses import dataclass, replace
from typing import Self

import cv2
import numpy as np

from .camera import normal_field
from .fields import TEXTURES, smooth_field, texture_field
from .recipe import Drawn, between, chance, clip, drawn, luminance, seed, unit, within


@dataclass(frozen=True)
class Fading(Drawn):
    """Contrast lost unevenly: 0 and 1 become `black` and `white`, with `gamma` for the tones between;
    `vignette` darkens the corners (negative: bleaches); `uneven` is the spread of slow changes in
    brightness."""

    black: float = drawn(lambda rng, strength: between(rng, 0.0, 0.28) * strength)
    white: float = drawn(lambda rng, strength: 1 - between(rng, 0.0, 0.22) * strength)
    gamma: float = drawn(lambda rng, strength: float(np.exp(rng.normal(0, 0.18 * strength))))
    vignette: float = drawn(
        lambda rng, strength: between(rng, -0.25, 0.45) * strength if chance(rng, 0.5) else 0.0
    )
    uneven: float = drawn(lambda rng, strength: between(rng, 0.0, 0.07) * strength)
    seed: int = seed()

    def apply(self, image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        toned = np.power(image, np.float32(self.gamma)) if abs(self.gamma - 1) > 1e-3 else image
        faded = np.float32(self.black) + toned * np.float32(self.white - self.black)
        x = np.linspace(-1, 1, width, dtype=np.float32)
        y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
        light = 1 - np.float32(self.vignette) * (np.float32(0.5) * (x**2 + y**2)) ** 1.5
        uneven = smooth_field(self.seed, height, width, max(height, width) / 2.5)
        return clip(faded * (light + np.float32(self.uneven) * uneven)[..., None])


@dataclass(frozen=True)
class DyeFading:
    """The dyes of a colour print (cyan, magenta, yellow, seen in R, G, B) keep a share of their density, and
    its base, what white becomes, turns yellow: v = 10^-D becomes v^keep times the base."""

    keep: tuple[float, float, float]
    base: tuple[float, float, float]

    @classmethod
    def sample(cls, rng: np.random.Generator, strength: float = 1.0) -> Self:
        """Cyan fades first in most papers (a red cast), magenta or yellow in others."""
        weak = int(rng.choice(3, p=[0.65, 0.15, 0.2]))
        together = 1 - between(rng, 0.0, 0.2) * strength
        keep = [together - between(rng, 0.0, 0.06) * strength for _ in range(3)]
        # A lost magenta dye turns skin green, which prints show far less often and far less strongly.
        keep[weak] -= between(rng, 0.05, (0.4, 0.12, 0.35)[weak]) * strength
        stain = between(rng, 0.0, 0.14) * strength
        keep = [max(share, 0.2) for share in keep]
        return cls((keep[0], keep[1], keep[2]), (1.0, 1 - 0.35 * stain, 1 - stain))

    def apply(self, image: np.ndarray) -> np.ndarray:
        base = np.array(self.base, np.float32)
        floor = np.float32(0.004)  # a print's black still reflects: density never exceeds 2.4
        return clip(np.power(np.maximum(image, floor), np.array(self.keep, np.float32)) * base)


@dataclass(frozen=True)
class Toning:
    """The luma printed in one tone, given as RGB of black, middle gray and white: sepia, selenium, cyanotype,
    gray."""

    shadow: tuple[float, float, float]
    middle: tuple[float, float, float]
    light: tuple[float, float, float]

    @classmethod
    def sample(cls, rng: np.random.Generator, strength: float = 1.0) -> Self:
        """Sepia of varying depth in 85 %, a cold tone in 15 %."""
        depth = between(rng, 0.15, 1.0) * strength
        if chance(rng, 0.15):
            middle = (0.5 - 0.08 * depth, 0.5, 0.5 + 0.06 * depth)
            return cls((0.0, 0.01, 0.03 * depth), middle, (0.98, 1.0, 1.0))
        hue = between(rng, 0.7, 1.3)
        return cls(
            shadow=(0.07 * depth, 0.03 * depth, 0.01 * depth),
            middle=(0.5 + 0.09 * depth, 0.5 - 0.01 * depth * hue, 0.5 - 0.15 * depth),
            light=(1.0, 1 - 0.06 * depth * hue, 1 - 0.22 * depth),
        )

    def apply(self, image: np.ndarray) -> np.ndarray:
        # A quadratic through the three tones of each channel: smooth, so no tone makes a visible edge.
        shadow, middle, light = np.array([self.shadow, self.middle, self.light], np.float32)
        gray = luminance(image)[..., None]
        square = 2 * (light + shadow) - 4 * middle
        return clip(shadow + gray * ((light - shadow - square) + gray * square))


@dataclass(frozen=True)
class Yellowing:
    """Old paper and varnish: white becomes ``paper`` (RGB), everything else in proportion."""

    paper: tuple[float, float, float]

    @classmethod
    def sample(cls, rng: np.random.Generator, strength: float = 1.0) -> Self:
        depth = between(rng, 0.05, 0.33) * strength
        return cls((1 - 0.08 * depth, 1 - depth * between(rng, 0.3, 0.5), 1 - depth))

    def apply(self, image: np.ndarray) -> np.ndarray:
        return image * np.array(self.paper, np.float32)


@dataclass(frozen=True)
class Grain(Drawn):
    """Silver grain: noise correlated over ``size`` reference pixels, strongest in the middle tones. sigma:
    standard deviation in middle gray. colour: share of it that differs between the channels."""

    sigma: float = drawn(lambda rng, strength: between(rng, 0.01, 0.1) * strength)
    size: float = within(0.4, 1.8)
    colour: float = drawn(lambda rng, _: between(rng, 0.1, 0.6) if chance(rng, 0.3) else 0.0)
    seed: int = seed()

    def apply(self, image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        spread = self.size * unit(image) / 2
        grain = self._correlated(normal_field(self.seed, height, width, 1), spread)
        if self.colour > 0:
            tinted = self._correlated(normal_field(self.seed + 1, height, width, 3), spread)
            grain = np.float32(math.sqrt(1 - self.colour**2)) * grain + np.float32(self.colour) * tinted
        gray = luminance(image)[..., None]
        strength = np.float32(self.sigma) * (np.float32(0.35) + np.float32(2.6) * gray * (1 - gray))
        return clip(image + strength * grain)

    @staticmethod
    def _correlated(noise: np.ndarray, spread: float) -> np.ndarray:
        """``noise`` blurred by ``spread`` pixels and brought back to unit spread."""
        if spread < 0.25:
            return noise
        reach = 2 * math.ceil(3 * spread) + 1
        line = cv2.getGaussianKernel(reach, spread)
        blurred = cv2.sepFilter2D(noise, -1, line, line, borderType=cv2.BORDER_REFLECT_101)
        # The spread a separable kernel leaves of white noise is the sum of its squares.
        return blurred.reshape(noise.shape) * np.float32(1 / float((line**2).sum()))


@functools.cache
def _screen_levels() -> np.ndarray:
    """Thresholds t(v) for 1,024 tones v: a share v of the screen lies below t, so dots keep areas."""
    wave = np.cos((np.arange(256) + 0.5) * (2 * math.pi / 256))
    ordered = np.sort((wave[:, None] + wave[None, :]).ravel() / 2)
    return np.interp(np.linspace(0, 1, 1024), np.linspace(0, 1, ordered.size), ordered).astype(np.float32)


@dataclass(frozen=True)
class Halftone(Drawn):
    """Printed dots whose area is the tone, softened by ink spread. pitch: between dots, reference pixels.
    angle: of the screen, radians (colour screens are turned 30 degrees against each other). sharpness: of the
    dots' edges. amount: how much of the screen shows."""

    pitch: float = within(3.0, 7.0)
    angle: float = drawn(lambda rng, _: math.pi / 4 + float(rng.normal(0, 0.2)))
    sharpness: float = within(1.5, 5.0)
    amount: float = drawn(lambda rng, strength: min(between(rng, 0.2, 0.7) * strength, 1.0))
    colour: bool = False

    @classmethod
    def sample(cls, rng: np.random.Generator, strength: float = 1.0, *, colour: bool = False) -> Self:
        """``colour`` asks for one screen per ink instead of a single black one."""
        return replace(super().sample(rng, strength), colour=colour)

    def _dots(self, tone: np.ndarray, angle: float, pitch: float) -> np.ndarray:
        height, width = tone.shape
        frequency = 2 * math.pi / pitch
        x, y = np.arange(width) * frequency, np.arange(height)[:, None] * frequency
        cos, sin = math.cos(angle), math.sin(angle)
        # The wave along a turned axis, by the angle sum: four short cosines instead of one per pixel.
        along = np.cos(x * cos) * np.cos(y * sin) - np.sin(x * cos) * np.sin(y * sin)
        across = np.cos(-x * sin) * np.cos(y * cos) - np.sin(-x * sin) * np.sin(y * cos)
        screen = (along + across).astype(np.float32) / 2
        level = _screen_levels()[(tone * 1023).astype(np.int32)]
        return 1 / (1 + np.exp(np.float32(-self.sharpness * 2) * (level - screen)))

    def apply(self, image: np.ndarray) -> np.ndarray:
        pitch = max(self.pitch * unit(image), 2.1)
        if self.colour:
            angles = (self.angle - math.pi / 6, self.angle + math.pi / 6, self.angle - math.pi / 4)
            dots = np.stack([self._dots(image[..., c], angles[c], pitch) for c in range(3)], axis=2)
            return clip(image + np.float32(self.amount) * (dots - image))
        gray = luminance(image)
        change = np.float32(self.amount) * (self._dots(gray, self.angle, pitch) - gray)
        return clip(image + change[..., None])


@dataclass(frozen=True)
class PaperTexture(Drawn):
    """The paper's relief ("paper", "linen" or "silk") as a scanner sees it. depth: its spread. size: of a
    texel, reference pixels."""

    texture: str = drawn(lambda rng, _: TEXTURES[int(rng.choice(3, p=[0.6, 0.15, 0.25]))])
    depth: float = drawn(lambda rng, strength: between(rng, 0.008, 0.045) * strength)
    size: float = within(0.9, 1.8)
    seed: int = seed()

    def apply(self, image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        relief = texture_field(self.texture, self.seed, height, width, max(self.size * unit(image), 0.25))
        light = np.float32(self.depth) * relief[..., None]
        return clip(image * (1 + light))
