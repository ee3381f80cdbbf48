"""More marks of a print's surface (torn edges, lost emulsion, tape, mould, fingerprints), and `sample`, which
draws marks alone, of every kind, for training a model that finds them. Lengths and seeds as in `damage`."""

import math
from dataclasses import dataclass, replace
from typing import Any, Self

import cv2
import numpy as np

from .damage import Crease, Dust, Hairs, Scratches, Stains, blend, from_line, points, wander
from .fields import smooth_field
from .recipe import Chain, Drawn, Step, between, chance, clip, draw_seed, drawn, seed, unit, within

_STRENGTH = 2.0  # every picture is to hold some
_FOXING = 10  # reference pixels: larger stains change the tone of an area, which is no mark


def _centre() -> Any:
    """A field for a place, x and y as shares of the sides."""
    return drawn(lambda rng, _: (between(rng, 0, 1), between(rng, 0, 1)))


@dataclass(frozen=True)
class Tear:
    """A side or corner that is torn off along a ragged line (offset, angle: as in `Crease`); the paper's core
    shows at the edge. fringe: width of the bare paper, reference pixels. ground: gray of what lies behind."""

    offset: float
    angle: float
    fringe: float
    ground: float
    seed: int

    @classmethod
    def sample(cls, rng: np.random.Generator, strength: float = 1.0) -> Self:
        corner = chance(rng, 0.5)
        turned = math.pi / 4 if corner else 0.0
        return cls(
            offset=(between(rng, 0.5, 0.64) if corner else between(rng, 0.4, 0.49)) - 0.02 * strength,
            angle=math.pi / 2 * int(rng.integers(4)) + turned + float(rng.normal(0, 0.1)),
            fringe=between(rng, 1.0, 7.0),
            ground=between(rng, 0.85, 1.0) if chance(rng, 0.6) else between(rng, 0.0, 0.2),
            seed=draw_seed(rng),
        )

    def apply(self, image: np.ndarray) -> np.ndarray:
        rng, scale, (height, width) = np.random.default_rng(self.seed), unit(image), image.shape[:2]
        beyond = from_line(
            rng, image, self.offset, self.angle, waver=5.0, jitter=0.4 * self.fringe, period=4 * self.fringe
        )
        uneven = smooth_field(draw_seed(rng), height, width, 6 * self.fringe * scale)
        bare = self.fringe * np.clip(1 + uneven, 0, 3)
        for edge, gray in ((beyond + bare, 0.93), (beyond, self.ground)):
            cover = np.clip(edge * np.float32(scale) + 0.5, 0, 1)[..., None].astype(np.float32)
            image = image + cover * (np.float32(gray) - image)
        return image


@dataclass(frozen=True)
class Flakes(Drawn):
    """Emulsion that came off in pieces, down to the paper or (of a glass plate) to black. period: between
    pieces, reference pixels. level: in spreads of a smooth field, the higher the fewer."""

    period: float = within(8.0, 50.0)
    level: float = drawn(lambda rng, strength: between(rng, 1.5, 2.6) - 0.1 * strength)
    gray: float = drawn(
        lambda rng, _: between(rng, 0.75, 1.0) if chance(rng, 0.75) else between(rng, 0.0, 0.2)
    )
    seed: int = seed()

    def apply(self, image: np.ndarray) -> np.ndarray:
        (height, width), period = image.shape[:2], self.period * unit(image)
        field = smooth_field(self.seed, height, width, period)
        ragged = smooth_field(self.seed + 1, height, width, period / 5)
        field = field / max(float(field.std()), 0.1) + np.float32(0.25) * ragged
        cover = np.clip((field - np.float32(self.level)) * np.float32(max(period, 2) / 3), 0, 1)[..., None]
        return image + cover * (np.array([1, 0.98, 0.94], np.float32) * np.float32(self.gray) - image)


def _tape_tint(rng: np.random.Generator, strength: float) -> tuple[float, float, float]:
    depth = between(rng, 0.04, 0.18) * strength
    return 1 - 0.3 * depth, 1 - 0.7 * depth, 1 - 1.8 * depth


@dataclass(frozen=True)
class Tape(Drawn):
    """A strip of adhesive tape, yellowed, with dirt along its edges. centre: share of the sides. length,
    width: reference pixels. tint: what white becomes under it, RGB."""

    tint: tuple[float, float, float] = drawn(_tape_tint)
    centre: tuple[float, float] = _centre()
    angle: float = drawn(lambda rng, _: math.pi / 2 * int(rng.integers(2)) + float(rng.normal(0, 0.2)))
    length: float = within(60, 400)
    width: float = within(25, 60)
    dirt: float = drawn(lambda rng, strength: between(rng, 0.1, 0.5) * strength)

    def apply(self, image: np.ndarray) -> np.ndarray:
        (height, width), scale = image.shape[:2], unit(image)
        x = np.arange(width, dtype=np.float32) - np.float32(self.centre[0] * width)
        y = np.arange(height, dtype=np.float32)[:, None] - np.float32(self.centre[1] * height)
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        along, across = (np.abs(v) / np.float32(scale) for v in (x * cos + y * sin, y * cos - x * sin))
        inside = np.minimum(self.length / 2 - along, self.width / 2 - across)  # distance from the edge
        cover = np.clip(inside * scale + 0.5, 0, 1)[..., None]
        image = image * (1 - cover * (1 - np.array(self.tint, np.float32)))
        return clip(image * (1 - self.dirt * np.exp(-((inside / 1.2) ** 2)))[..., None]).astype(np.float32)


@dataclass(frozen=True)
class Mould(Drawn):
    """Colonies of fungus: fine branching threads around a centre, and specks between them. radius: of a
    colony, reference pixels."""

    count: int = drawn(lambda rng, strength: 1 + int(rng.exponential(4.0) * strength))
    radius: float = within(8.0, 50.0)
    opacity: float = within(0.25, 0.8)
    light: bool = drawn(lambda rng, _: chance(rng, 0.5))
    seed: int = seed()

    def apply(self, image: np.ndarray) -> np.ndarray:
        rng, scale = np.random.default_rng(self.seed), unit(image)
        mask, thick = np.zeros(image.shape[:2], np.uint8), max(1, round(0.8 * scale))
        for _ in range(min(self.count, 12)):
            centre = rng.uniform(0, 1, 2) * image.shape[1::-1]
            for _ in range(int(rng.integers(5, 14))):
                level, reach = self.opacity * rng.uniform(0.4, 1), self.radius * rng.lognormal(0, 0.4) * scale
                line = wander(rng, centre, rng.uniform(0, 7), reach, bend=1.2, steps=12)
                fork = line[rng.integers(3, 10)]
                branch = wander(rng, fork, rng.uniform(0, 7), reach / 2, bend=1.2, steps=8)
                shown = int(255 * level * min(1, 0.8 * scale))
                for path in (line, branch):
                    cv2.polylines(mask, [points(path)], False, shown, thick, cv2.LINE_AA, 4)
                tip = tuple(int(v) for v in points(line[-1]))
                cv2.circle(mask, tip, int(rng.uniform(0.5, 2) * scale * 16), shown, -1, cv2.LINE_AA, 4)
        gray = rng.uniform(0.75, 0.95) if self.light else rng.uniform(0.05, 0.3)
        return blend(image, mask, np.full(3, gray))


@dataclass(frozen=True)
class Fingerprint(Drawn):
    """Ridges of a finger in grease or dye, incomplete. centre: share of the sides. size: half the print's
    width, pitch: between ridges, reference pixels."""

    centre: tuple[float, float] = _centre()
    size: float = within(25, 50)
    pitch: float = within(2.5, 4.5)
    opacity: float = drawn(lambda rng, strength: between(rng, 0.15, 0.4) * strength)
    light: bool = drawn(lambda rng, _: chance(rng, 0.5))
    seed: int = seed()

    def apply(self, image: np.ndarray) -> np.ndarray:
        (height, width), scale = image.shape[:2], unit(image)
        x = (np.arange(width, dtype=np.float32) - np.float32(self.centre[0] * width)) / np.float32(scale)
        y = np.arange(height, dtype=np.float32)[:, None] - np.float32(self.centre[1] * height)
        y = y / np.float32(1.4 * scale)
        bent, patchy = (smooth_field(self.seed + i, height, width, self.size * scale / 2) for i in range(2))
        radius = np.hypot(x, y + np.float32(0.4) * np.abs(x))
        ridges = np.clip(np.cos((radius / self.pitch + 0.5 * bent) * np.float32(2 * math.pi)) + 0.5, 0, 1)
        window = np.exp(-((np.hypot(x, y) / self.size) ** 6)) * np.clip(0.7 + 0.8 * patchy, 0, 1)
        mask = (255 * min(self.opacity, 1) * ridges * window).astype(np.uint8)
        return blend(image, mask, np.full(3, 0.9 if self.light else 0.1))


_STREWN = (Scratches, Dust, Hairs, Mould)
_SHARES = (
    (0.6, Scratches), (0.5, Dust), (0.25, Hairs), (0.25, Flakes), (0.1, Mould), (0.05, Fingerprint),
    (0.03, Tape), (0.07, Tear),
)  # fmt: skip


def sample(rng: np.random.Generator) -> Chain:
    """Draw marks of the surface: nothing that changes the tone, sharpness or grain of the whole."""
    steps: list[Step] = []
    for _ in range(int(rng.integers(1, 3)) if chance(rng, 0.3) else 0):
        crease = Crease.sample(rng)
        steps.append(replace(crease, corner=False, width=0.6 * crease.width))
    if chance(rng, 0.3):
        stains = Stains.sample(rng, _STRENGTH)
        steps += [stains] if stains.radius <= _FOXING else []
    steps += [kind.sample(rng, _STRENGTH) for share, kind in _SHARES if chance(rng, share)]
    if chance(rng, 0.2):  # spots: few and large
        dust = Dust.sample(rng)
        steps.append(replace(dust, count=1 + dust.count // 8, radius=4 * dust.radius))
    if not steps:
        steps.append(Scratches.sample(rng, _STRENGTH))
    return Chain(tuple(_plain(step, rng) if isinstance(step, _STREWN) else step for step in steps))


def _plain(step: Any, rng: np.random.Generator) -> Step:
    """More of them, and plainer to see; at times what a scratch pushed aside lies along it; some are even."""
    count = math.ceil(step.count * rng.uniform(1, 5))
    changes = {"count": count, "opacity": (1 + step.opacity) / 2}
    if isinstance(step, Scratches):
        changes["halo"] = between(rng, 0.1, 0.5) if chance(rng, 0.3) else 0.0
        if chance(rng, 0.35):
            changes |= {"even": between(rng, 0.2, 1.0), "count": step.count}  # they are long
    return replace(step, **changes)
