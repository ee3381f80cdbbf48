"""Mixtures for training: which share of the samples gets which recipe."""

from collections.abc import Callable

import numpy as np

from . import esrgan, gfpgan, old_photo
from .ageing import DyeFading, Fading, Grain, Halftone, PaperTexture, Toning, Yellowing
from .camera import Jpeg
from .colour import Gray, colour_changes
from .esrgan import FirstOrder, SecondOrder
from .gfpgan import Gfpgan
from .recipe import Chain, Step, chance

Shares = tuple[tuple[float, Callable[[np.random.Generator], Step]], ...]

# A face on an old print: what the scan loses comes from GFP-GAN's equation instead.
OLD_FACE = old_photo.Chances(
    blur=0.7, low_resolution=0.0, gray=0.25, toned=0.15, halftone=0.05, scan_noise=0.0, jpeg=0.0,
    strength=0.85,
)  # fmt: skip
# Whole photos keep their sharpness: the scene model removes damage and invents nothing.
OLD_SCENE = old_photo.Chances(
    blur=0.2, low_resolution=0.0, gray=0.3, toned=0.2, fading=0.3, dyes=0.2, strength=0.85
)


def sample_gfpgan_train(rng: np.random.Generator) -> Chain:
    """GFP-GAN's equation, then the colours changed as in its published training."""
    return Chain((Gfpgan.sample(rng), *colour_changes(rng)))


def sample_face(rng: np.random.Generator) -> Chain:
    """45 % GFP-GAN's equation in full, r up to 16; 15 % of it in mild ranges; 5 % clean, so that a sharp face
    is left sharp; 15 % second order in milder ranges; 20 % old photo, scanned by the equation in milder
    ranges so that the damage stays to be seen. Some 15 % of all come out gray or toned."""
    kind = rng.random()
    if kind < 0.8:
        steps: list[Step] = []
        if chance(rng, 0.09):
            steps.append(Gray() if chance(rng, 0.6) else Toning.sample(rng))
        if kind < 0.05:
            return Chain(tuple(steps))
        if kind < 0.2:
            return Chain((*steps, Gfpgan.sample(rng, blur=2.5, factors=(1.0, 2.5))))
        if kind < 0.65:
            return Chain((*steps, Gfpgan.sample(rng, factors=gfpgan.BOTH)))
        return Chain((*steps, SecondOrder.sample(rng, esrgan.MILD_FIRST, esrgan.MILD_SECOND, (1, 2))))
    return Chain((old_photo.sample(rng, OLD_FACE), Gfpgan.sample(rng, blur=3.0, factors=(1.0, 4.0))))


# Marks on an otherwise good photo: many, as each sample is to hold some; little dust, which is like texture.
MARKS = old_photo.Chances(crease=0.25, scratches=0.9, dust=0.2, hairs=0.5, strength=1.5)

# What the scene model is taught on: published ranges, which its teacher was trained on, beside milder ones
# that scans and cameras have; and old prints. Clean photos and patterns are the training's own samples.
TAUGHT_SHARES: Shares = (
    (0.23, FirstOrder.sample),
    (0.34, lambda rng: FirstOrder.sample(rng, esrgan.SCENE_FIRST)),
    (0.11, lambda rng: SecondOrder.sample(rng, scales=(1,))),
    (0.2, lambda rng: SecondOrder.sample(rng, esrgan.SCENE_FIRST, esrgan.SCENE_SECOND, (1,))),
    (0.12, lambda rng: Jpeg.sample(rng, 40, 95)),
)
AGED_SHARES: Shares = (
    (0.45, old_photo.sample),
    (0.35, lambda rng: old_photo.sample(rng, OLD_SCENE)),
    (0.2, lambda rng: Chain(tuple(old_photo.damaged(rng, MARKS)))),
)


def sample_shares(rng: np.random.Generator, shares: Shares) -> Chain:
    """Draw one of `TAUGHT_SHARES`, or of others."""
    kind = int(rng.choice(len(shares), p=[share for share, _ in shares]))
    return Chain((shares[kind][1](rng),))


def sample_pattern(rng: np.random.Generator) -> Chain:
    """Draw what belongs to a photo and is no damage: a printing screen, the paper's weave, or its grain."""
    kind = rng.random()
    if kind < 0.4:
        return Chain((Halftone.sample(rng, colour=chance(rng, 0.3)),))
    if kind < 0.7:
        return Chain((PaperTexture.sample(rng, 1.5),))
    return Chain((Grain.sample(rng),))


def fadings(rng: np.random.Generator, strength: float = 1.0) -> tuple[Step, Step, Step]:
    """A photo whose dyes have faded, one whose paper and contrast have, and one with both."""
    yellow: tuple[Step, ...] = (Yellowing.sample(rng, strength),) if chance(rng, 0.3) else ()
    dyes, fading = DyeFading.sample(rng, strength), Fading.sample(rng, strength)
    return dyes, Chain((*yellow, fading)), Chain((dyes, *yellow, fading))
