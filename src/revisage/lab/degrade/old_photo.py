"""The life of an old photo: taken, printed, aged, damaged, scanned. Each part has its own probability."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from .ageing import DyeFading, Fading, Grain, Halftone, PaperTexture, Toning, Yellowing
from .camera import GaussianNoise, Jpeg, LowResolution
from .colour import Gray
from .damage import Crease, Dust, Hairs, Scratches, Stains
from .kernels import GaussianBlur
from .recipe import Chain, Step, chance


@dataclass(frozen=True)
class Chances:
    """Probabilities of the parts (``dyes`` of what is neither ``gray`` nor ``toned``, ``yellow`` of what is
    not toned, ``grain`` of what has no screen); ``strength`` multiplies how hard ageing and damage strike."""

    blur: float = 0.5
    low_resolution: float = 0.45
    gray: float = 0.28
    toned: float = 0.27
    dyes: float = 0.7
    grain: float = 0.65
    halftone: float = 0.08
    texture: float = 0.3
    fading: float = 0.7
    yellow: float = 0.25
    stains: float = 0.22
    crease: float = 0.3
    scratches: float = 0.6
    dust: float = 0.6
    hairs: float = 0.2
    scan_noise: float = 0.3
    jpeg: float = 0.7
    strength: float = 1.0


def sample(rng: np.random.Generator, chances: Chances = Chances()) -> Chain:
    """Draw a life, in the order in which it happens."""
    stages = (taken, printed, aged, damaged, scanned)
    return Chain(tuple(step for stage in stages for step in stage(rng, chances)))


def taken(rng: np.random.Generator, chances: Chances) -> list[Step]:
    """The camera: a soft lens."""
    return [GaussianBlur.sample(rng, 0.3, 2.5)] if chance(rng, chances.blur) else []


def printed(rng: np.random.Generator, chances: Chances) -> list[Step]:
    """The process and its paper: gray, toned or colour dyes; yellow paper; grain or a printing screen."""
    steps: list[Step] = []
    process = rng.random()
    if process < chances.gray:
        steps.append(Gray())
    elif process < chances.gray + chances.toned:
        steps.append(Toning.sample(rng))
    elif chance(rng, chances.dyes):
        steps.append(DyeFading.sample(rng, chances.strength))
    colour = process >= chances.gray + chances.toned
    toned = not colour and process >= chances.gray
    if not toned and chance(rng, chances.yellow):
        steps.append(Yellowing.sample(rng, chances.strength))
    if chance(rng, chances.halftone):
        steps.append(Halftone.sample(rng, chances.strength, colour=colour))
    elif chance(rng, chances.grain):
        steps.append(Grain.sample(rng, chances.strength))
    return steps


def aged(rng: np.random.Generator, chances: Chances) -> list[Step]:
    """Time: fading, the relief of the paper, stains."""
    kinds = ((chances.fading, Fading), (chances.texture, PaperTexture), (chances.stains, Stains))
    return [kind.sample(rng, chances.strength) for probability, kind in kinds if chance(rng, probability)]


def damaged(rng: np.random.Generator, chances: Chances) -> list[Step]:
    """Hands: creases, scratches, dust, hairs."""
    creases = 1 + (rng.random() < 0.25) if chance(rng, chances.crease) else 0
    steps: list[Step] = [Crease.sample(rng, chances.strength) for _ in range(creases)]
    kinds = ((chances.scratches, Scratches), (chances.dust, Dust), (chances.hairs, Hairs))
    steps += [kind.sample(rng, chances.strength) for probability, kind in kinds if chance(rng, probability)]
    return steps


def scanned(rng: np.random.Generator, chances: Chances) -> list[Step]:
    """The scanner and the file: low resolution, sensor noise, JPEG."""
    low, noise, jpeg = chances.low_resolution, chances.scan_noise, chances.jpeg
    kinds: tuple[tuple[float, Any, float, float], ...] = (
        (low, LowResolution, 1.2, 4.5), (noise, GaussianNoise, 0.5, 6.0), (jpeg, Jpeg, 45, 96),
    )  # fmt: skip
    return [kind.sample(rng, least, most) for share, kind, least, most in kinds if chance(rng, share)]
