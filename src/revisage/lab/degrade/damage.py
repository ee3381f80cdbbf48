"""What happens to a print's surface: scratches, dust, hairs, creases, folded corners, stains.

Every step keeps a seed from which its shapes are drawn, and lengths in reference pixels (512 x 512), so the
same parameters put the same marks on the same places of a picture of any size.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np

from .fields import smooth_field
from .recipe import REFERENCE, Drawn, between, chance, clip, draw_seed, drawn, seed, unit, within

_SHIFT = 4  # cv2 draws with 4 fractional bits


def points(xy: np.ndarray) -> np.ndarray:
    """(..., 2) float pixel coordinates as cv2's fixed point, within what its 16 integer bits can hold."""
    return np.rint(np.clip(xy, -1e4, 3e4) * (1 << _SHIFT)).astype(np.int32)


def _line(mask: np.ndarray, start: np.ndarray, end: np.ndarray, level: float, width: float) -> None:
    """Draw on the uint8 ``mask``; a line thinner than a pixel is a one-pixel line of less strength."""
    shown, thick = int(255 * (level * min(1.0, width))), max(1, round(width))
    cv2.line(mask, start.tolist(), end.tolist(), shown, thick, cv2.LINE_AA, _SHIFT)


def blend(image: np.ndarray, mask: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """``image`` covered by ``colour`` ((3,)) where the uint8 (H, W) ``mask`` is 255."""
    alpha = (mask.astype(np.float32) * np.float32(1 / 255))[..., None]
    return image + alpha * (colour.astype(np.float32) - image)


Masks = dict[bool, np.ndarray]
"""uint8 (H, W) of light marks (True) and of dark ones."""


def _blank(image: np.ndarray) -> Masks:
    return {light: np.zeros(image.shape[:2], np.uint8) for light in (True, False)}


def _covered(image: np.ndarray, masks: Masks, light: np.ndarray, dark: np.ndarray) -> np.ndarray:
    """``image`` under its light marks, and dark ones over these."""
    return clip(blend(blend(image, masks[True], light), masks[False], dark))


def wander(
    rng: np.random.Generator, start: np.ndarray, heading: float, length: float, *, bend: float, steps: int
) -> np.ndarray:
    """A curved polyline, float (steps + 1, 2); ``bend`` is the spread of the total turn in radians."""
    turn = rng.normal(0, bend / math.sqrt(steps), steps).cumsum()
    angles = heading + (turn + rng.normal(0, bend) * np.linspace(-0.5, 0.5, steps))
    moves = np.stack([np.cos(angles), np.sin(angles)], axis=1) * (length / steps)
    return np.concatenate([start[None], start + moves.cumsum(axis=0)])


@dataclass(frozen=True)
class Scratches(Drawn):
    """Long thin lines, straight or curved, whole or broken.

    width: mean, reference pixels. opacity: of the strongest. light: share of light ones. vertical: share that
    runs near upright, as scratches from transport through a camera or projector do. bend: radians of turning.
    halo: opacity of what was pushed aside, in the other tone along the scratch. even: share that is straight,
    of one width and strength from end to end.
    """

    count: int = drawn(lambda rng, strength: 2 + int(rng.exponential(5.0) * strength))
    width: float = within(0.7, 2.4)
    opacity: float = within(0.4, 1.0)
    light: float = drawn(lambda rng, _: float(rng.choice([0.15, 0.7, 1.0], p=[0.2, 0.4, 0.4])))
    vertical: float = within(0.0, 0.8)
    bend: float = within(0.0, 0.9)
    broken: float = within(0.0, 0.5)
    seed: int = seed()
    halo: float = 0.0
    even: float = 0.0

    def apply(self, image: np.ndarray) -> np.ndarray:
        rng, scale = np.random.default_rng(self.seed), unit(image)
        size, masks = np.array(image.shape[1::-1], float), _blank(image)
        for _ in range(min(self.count, 40)):
            mask = masks[bool(rng.random() < self.light)]
            for line, levels, thickness in self._bundle(rng, size, scale):
                drawn = points(line)
                for i in np.flatnonzero(levels > 0.02):
                    _line(mask, drawn[i], drawn[i + 1], levels[i], thickness)
        light = rng.uniform(0.82, 1.0) * np.array([1.0, 0.99, 0.96])
        dark = np.full(3, rng.uniform(0.0, 0.18))
        if self.halo:
            sigma = 1 + self.width * scale
            soft = {tone: cv2.GaussianBlur(mask, (0, 0), sigma) for tone, mask in masks.items()}
            beside = {tone: (self.halo * soft[not tone]).astype(np.uint8) for tone in masks}
            image = _covered(image, beside, light, dark)
        return _covered(image, masks, light, dark)

    def _bundle(
        self, rng: np.random.Generator, size: np.ndarray, scale: float
    ) -> Iterator[tuple[np.ndarray, np.ndarray, float]]:
        """One scratch, or a few side by side from one rub: (points, level of each piece, width in pixels)."""
        steps = 24
        upright = rng.random() < self.vertical
        heading = rng.normal(math.pi / 2, 0.08) if upright else rng.uniform(0, 2 * math.pi)
        length = min(rng.exponential(0.35) + 0.08, 1.5) * REFERENCE * scale
        bend = self.bend * (0.2 if upright else 1.0)
        even = self.even > 0 and rng.random() < self.even
        if even:
            length, bend = length * rng.choice([1, 6]), 0.0  # most of the long ones cross the picture
        # The start lies half a length back, so that long lines do not all begin inside the picture.
        start = rng.uniform(0, 1, 2) * size - length / 2 * np.array([math.cos(heading), math.sin(heading)])
        line = wander(rng, start, heading, length, bend=bend, steps=steps)
        sideways = np.array([-math.sin(heading), math.cos(heading)])
        for n in range(int(rng.integers(2, 6)) if rng.random() < 0.25 else 1):
            # Pressure changes slowly along the line, and vanishes at the ends and here and there between.
            pressure = np.interp(np.linspace(0, 6, steps), np.arange(7), rng.uniform(0.3, 1.0, 7))
            ends = np.minimum(np.linspace(0.02, 1, steps), np.linspace(1, 0.02, steps))
            kept = np.repeat(rng.random(steps // 3) >= self.broken, 3)
            shape = np.ones(steps) if even else pressure * kept * np.minimum(1, 5 * ends)
            level = self.opacity * rng.uniform(0.4, 1.0)
            thickness = self.width * scale * (1.0 if even else min(rng.lognormal(0, 0.4), 1.8))
            aside = n * rng.uniform(2.0, 6.0) * scale
            yield line + aside * sideways, level * shape, thickness


@dataclass(frozen=True)
class Dust(Drawn):
    """Specks, light where dust lay on the negative, dark where it lies on the print. radius: of a typical
    one, reference pixels; sizes spread log-normally. softness: blur, reference pixels."""

    count: int = drawn(lambda rng, strength: 3 + int(rng.exponential(45.0) * strength))
    radius: float = within(0.5, 1.4)
    opacity: float = within(0.4, 0.95)
    light: float = drawn(lambda rng, _: float(rng.choice([0.1, 0.6, 0.95])))
    softness: float = within(0.0, 0.8)
    seed: int = seed()

    def apply(self, image: np.ndarray) -> np.ndarray:
        rng, scale = np.random.default_rng(self.seed), unit(image)
        count, masks = min(self.count, 250), _blank(image)
        centres = rng.uniform(0, 1, (count, 2)) * image.shape[1::-1]
        radii = np.minimum(self.radius * rng.lognormal(0, 0.6, count), 9.0) * scale
        levels = self.opacity * rng.uniform(0.3, 1.0, count)
        lights = rng.random(count) < self.light
        corners = np.arange(7) * (2 * math.pi / 7)
        ring = np.stack([np.cos(corners), np.sin(corners)], axis=1)
        uneven = rng.uniform(0.5, 1.4, (count, 7, 1))
        stretch = rng.uniform(0.5, 1.0, (count, 1, 2))
        # Below one pixel the area decides how much a speck shows, not its outline.
        shown = levels * np.minimum(1.0, (radii / 0.7) ** 2)
        outlines = points(centres[:, None] + np.maximum(radii, 0.7)[:, None, None] * ring * uneven * stretch)
        for outline, level, light in zip(outlines, shown, lights, strict=True):
            cv2.fillPoly(masks[bool(light)], [outline], int(255 * level), cv2.LINE_AA, _SHIFT)
        soft = self.softness * scale
        if soft > 0.2:
            masks = {light: cv2.GaussianBlur(mask, (0, 0), soft) for light, mask in masks.items()}
        return _covered(image, masks, np.full(3, rng.uniform(0.8, 1.0)), np.full(3, rng.uniform(0.02, 0.25)))


@dataclass(frozen=True)
class Hairs(Drawn):
    """Fibres and hairs: thin, curled, shadow-dark or (from the negative) light."""

    count: int = drawn(lambda rng, strength: 1 + int(rng.exponential(3.0) * strength))
    length: float = within(20.0, 120.0)
    curl: float = within(1.0, 4.0)
    opacity: float = within(0.45, 0.95)
    light: float = drawn(lambda rng, _: float(rng.choice([0.1, 0.9])))
    seed: int = seed()

    def apply(self, image: np.ndarray) -> np.ndarray:
        rng, scale = np.random.default_rng(self.seed), unit(image)
        thick, masks = max(1, round(1.2 * scale)), _blank(image)
        for _ in range(min(self.count, 20)):
            start = rng.uniform(0, 1, 2) * image.shape[1::-1]
            length = self.length * rng.lognormal(0, 0.4) * scale
            line = points(wander(rng, start, rng.uniform(0, 2 * math.pi), length, bend=self.curl, steps=32))
            level = self.opacity * rng.uniform(0.6, 1.0)
            shown = int(255 * (level * min(1.0, 1.2 * scale)))
            mask = masks[bool(rng.random() < self.light)]
            cv2.polylines(mask, [line], False, shown, thick, cv2.LINE_AA, _SHIFT)
        return _covered(image, masks, np.full(3, rng.uniform(0.8, 1.0)), np.full(3, rng.uniform(0.02, 0.2)))


def from_line(
    rng: np.random.Generator,
    image: np.ndarray,
    offset: float,
    angle: float,
    *,
    waver: float,
    jitter: float,
    period: float = 9.0,
) -> np.ndarray:
    """(H, W) signed distance in reference pixels from a line that wavers and is ragged, as torn paper is.
    offset: of the line from the centre, as a share of the mean side; angle: of its normal, radians; period:
    between the bumps, reference pixels."""
    (height, width), scale = image.shape[:2], unit(image)
    cos, sin = math.cos(angle), math.sin(angle)
    x = np.arange(width, dtype=np.float32) - (width - 1) / 2
    y = np.arange(height, dtype=np.float32)[:, None] - (height - 1) / 2
    across = (x * cos + y * sin) * np.float32(1 / scale) - np.float32(offset * REFERENCE)
    slow = smooth_field(int(rng.integers(2**31)), height, width, 70.0 * scale)
    quick = smooth_field(int(rng.integers(2**31)), height, width, period * scale)
    return across + slow * np.float32(waver) + quick * np.float32(jitter)


@dataclass(frozen=True)
class Crease:
    """A fold across the picture: cracked emulsion along a nearly straight line, shading to both sides.

    offset, angle: of the line, as in `from_line`. width: of the crack; relief: of the shading, reference
    pixels. core: how much of the picture is gone on the line (negative: it is a dark line); shade: how much
    lighter one side and darker the other are. bare: how much of the line has lost its emulsion, 0 to 1.
    corner: the part beyond the line is dulled, as in a folded corner. ragged: length of the crack's bumps.
    """

    offset: float
    angle: float
    width: float
    relief: float
    core: float
    shade: float
    bare: float
    corner: bool
    seed: int
    ragged: float = 1.0

    @classmethod
    def sample(cls, rng: np.random.Generator, strength: float = 1.0) -> Self:
        corner = chance(rng, 0.3)
        diagonal = math.pi / 4 + math.pi / 2 * int(rng.integers(4)) + float(rng.normal(0, 0.25))
        square = math.pi / 2 * int(rng.integers(4)) + float(rng.normal(0, 0.05))
        free = between(rng, 0, 2 * math.pi)
        return cls(
            offset=between(rng, 0.42, 0.62) if corner else between(rng, -0.4, 0.4),
            angle=diagonal if corner else (square if chance(rng, 0.5) else free),
            width=between(rng, 0.8, 2.5) * (0.6 + 0.4 * strength),
            relief=between(rng, 4.0, 22.0),
            core=between(rng, 0.35, 0.95) * (-0.7 if chance(rng, 0.25) else 1.0),
            shade=between(rng, 0.03, 0.16),
            bare=between(rng, 0.2, 0.9),
            corner=corner,
            seed=draw_seed(rng),
        )

    def apply(self, image: np.ndarray) -> np.ndarray:
        rng, scale, (height, width) = np.random.default_rng(self.seed), unit(image), image.shape[:2]
        jitter = 0.3 + 0.35 * self.width
        across = from_line(
            rng, image, self.offset, self.angle, waver=1.5, jitter=jitter, period=9 * self.ragged
        )
        fine = smooth_field(int(rng.integers(2**31)), height, width, 3.0 * self.ragged * scale)
        slope = np.exp(-np.abs(across) * np.float32(1 / self.relief))
        image = image * (1 + np.float32(self.shade) * slope * np.tanh(across * np.float32(0.5)))[..., None]
        if self.corner:
            beyond = 1 / (1 + np.exp(-np.clip(across, -20, 20)))
            image = image + (np.float32(0.35) * beyond)[..., None] * (image.mean() * np.float32(1.1) - image)
        # The crack widens and closes along the line; where it closes the emulsion is only bent.
        reach = np.float32(self.width) * np.clip(np.float32(2 * self.bare) + fine, 0.15, 3.0)
        visible = max(self.width * scale, 0.3)
        crack = np.exp(-((across / np.maximum(reach, np.float32(0.5 / scale))) ** 2)) * min(1.0, visible)
        colour = np.array([0.95, 0.94, 0.9]) if self.core > 0 else np.full(3, 0.12)
        alpha = (abs(self.core) * crack).astype(np.float32)[..., None]
        return clip(image + alpha * (colour.astype(np.float32) - image))


@dataclass(frozen=True)
class Stains:
    """Soft-edged blotches (water, foxing, grease) with a darker rim where the liquid dried. radius: reference
    pixels. tint: what white becomes in the middle, RGB. rim: its extra darkness. hardness: of the edge, about
    the radius over the width in which it fades out."""

    count: int
    radius: float
    tint: tuple[float, float, float]
    rim: float
    hardness: float
    seed: int

    @classmethod
    def sample(cls, rng: np.random.Generator, strength: float = 1.0) -> Self:
        # Many small spots are foxing, few large ones are water.
        small = chance(rng, 0.4)
        dark = between(rng, 0.1, 0.4) * strength if small else between(rng, 0.04, 0.22) * strength
        brown = between(rng, 0.3, 1.0)
        tint = (1 - dark * (1 - 0.55 * brown), 1 - dark, 1 - dark * (1 + 0.5 * brown))
        return cls(
            count=int(rng.integers(6, 30)) if small else int(rng.integers(1, 4)),
            radius=between(rng, 3.0, 10.0) if small else between(rng, 40.0, 160.0),
            tint=tint,
            rim=0.0 if small else between(rng, 0.0, 0.18),
            hardness=between(rng, 3.0, 7.0) if small else between(rng, 5.0, 15.0),
            seed=draw_seed(rng),
        )

    def apply(self, image: np.ndarray) -> np.ndarray:
        rng, scale, (height, width) = np.random.default_rng(self.seed), unit(image), image.shape[:2]
        cover, rims = (np.zeros((height, width), np.float32) for _ in range(2))
        ragged = smooth_field(int(rng.integers(2**31)), height, width, max(self.radius * 0.7, 4.0) * scale)
        for _ in range(min(self.count, 40)):
            centre = rng.uniform(-0.05, 1.05, 2) * [width, height]
            radius = self.radius * scale * rng.lognormal(0, 0.35)
            stretch, level = rng.uniform(0.6, 1.0), rng.uniform(0.5, 1.0)
            # Beyond this the soft edge is below half a level, so the cut to a rectangle cannot show.
            reach = radius * (1.4 + 5 / self.hardness) / stretch + 2
            left, right = np.clip([centre[0] - reach, centre[0] + reach + 1], 0, width).astype(int)
            top, bottom = np.clip([centre[1] - reach, centre[1] + reach + 1], 0, height).astype(int)
            if left >= right or top >= bottom:
                continue
            part = np.s_[top:bottom, left:right]
            x = (np.arange(left, right, dtype=np.float32) - np.float32(centre[0])) * np.float32(stretch)
            y = np.arange(top, bottom, dtype=np.float32)[:, None] - np.float32(centre[1])
            distance = np.sqrt(x**2 + y**2) * np.float32(1 / max(radius, 0.5))
            edge = distance + np.float32(0.11) * ragged[part] - 1
            inside = np.float32(level) / (1 + np.exp(np.clip(edge * np.float32(self.hardness), -30, 30)))
            cover[part] = np.maximum(cover[part], inside)
            rims[part] = np.maximum(rims[part], np.float32(level) * np.exp(-((edge * 16) ** 2)))
        loss = cover[..., None] * (1 - np.array(self.tint, np.float32))
        return clip(image * (1 - loss) * (1 - np.float32(self.rim) * rims)[..., None])
