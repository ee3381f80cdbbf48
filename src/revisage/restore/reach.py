"""How far a scene model looks, measured on the model itself.

A network's file does not say how much of its surroundings a pixel depends on, and what the layers' sizes
allow is far more than what shows: some 700 pixels in the published RRDB x2, of which a few dozen matter. So
one strip goes through the model twice, the second time with its right half replaced by noise, and the reach
is the distance from the cut beyond which the two outputs agree.
"""

from __future__ import annotations

import numpy as np

from revisage.runtime import Session

LONGEST = 128
"""Pixels of the photo up to which the reach is measured, and the answer where it is longer."""

VISIBLE = 0.1 / 255
"""Root mean square of the change along the cut, with all beyond it exchanged, that counts as agreement."""

# In half precision a change too far away to matter still changes how numbers are rounded, by so much at most.
_ROUNDING = 1 / 255
_ABOVE = 1.5
_HEIGHT = 32


def reach(session: Session, scale: int) -> int:
    """Pixels of the input, 1 to LONGEST, beyond which the surroundings make no visible difference.

    `scale` is the network's. Two runs of a strip of LONGEST x 64 pixels: a few hundredths of a second for a
    compact network.
    """
    rng = np.random.default_rng(0)
    strip = _picture(rng)
    other = strip.copy()
    other[..., LONGEST:] = rng.random(other[..., LONGEST:].shape, dtype=np.float32)
    difference = session.run(other) - session.run(strip)
    change = np.sqrt(np.square(difference[..., : LONGEST * scale]).mean(axis=(0, 1, 2)))
    rounding = min(float(np.median(change[: len(change) // 4])), _ROUNDING)
    seen = np.flatnonzero(change > max(VISIBLE, _ABOVE * rounding))
    return int(np.ceil(LONGEST - seen[0] / scale)) if len(seen) else 1


def _picture(rng: np.random.Generator) -> np.ndarray:
    """(1, 3, _HEIGHT, 2 LONGEST) float32 in [0, 1]: shapes of all sizes with grain, as photos have."""
    shape = (_HEIGHT, 2 * LONGEST)
    picture = np.full((3, *shape), 0.5)
    for size in (4, 8, 16, 32):
        coarse = rng.normal(0, 0.14, (3, -(-shape[0] // size), -(-shape[1] // size)))
        picture += coarse.repeat(size, 1).repeat(size, 2)[:, : shape[0], : shape[1]]
    picture += rng.normal(0, 0.03, picture.shape)
    return np.clip(picture, 0, 1).astype(np.float32)[None]
