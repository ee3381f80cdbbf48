"""How far a scene model looks, measured on the model itself.

A network's file does not say how much of its surroundings a pixel depends on, and what the layers' sizes
allow is far more than what shows: some 700 pixels in the published RRDB x2, of which a few dozen matter. So
strips go through the model twice, the second time with the right half exchanged, and the reach is the
distance from the cut beyond which the two outputs agree. It depends on the content: a model that cleans looks
further in a smooth or bright place, where it has to tell a mark from what it lies on, than among many edges.
So there are several strips, and the farthest counts.
"""

from collections.abc import Iterator

import cv2
import numpy as np

from revisage.errors import ModelCorruptError
from revisage.runtime import Session

LONGEST = 128  #: pixels of the photo up to which the reach is measured, and the answer where it is longer

VISIBLE = 0.1 / 255
"""Root mean square of the change along the cut, with all beyond it exchanged, that counts as agreement."""

# In half precision a change too far away to matter still changes how numbers are rounded, by so much at most.
_ROUNDING = 1 / 255
_ABOVE = 1.5
_HEIGHT = 32


def receptive_field(session: Session, scale: int) -> int:
    """Pixels of the input, 1 to LONGEST, beyond which the surroundings make no visible difference.

    `scale` is the network's; ModelCorruptError is raised where it is not. Twice as many runs of a picture of
    32 x 256 pixels as there are strips: some hundredths of a second for a compact network.
    """
    return max(_measured(session, scale, *pair) for pair in _strips(np.random.default_rng(0)))


def _measured(session: Session, scale: int, strip: np.ndarray, other: np.ndarray) -> int:
    exchanged = np.concatenate((strip[..., :LONGEST], other[..., LONGEST:]), axis=3)
    output = session.run(strip)
    if output.shape[1:] != (3, _HEIGHT * scale, 2 * LONGEST * scale):
        raise ModelCorruptError(
            f"the scene model gives {output.shape} for {strip.shape}, and its metadata say scale {scale}: "
            "correct revisage.scale in its file, and import it again"
        )
    difference = session.run(exchanged) - output
    change = np.sqrt(np.square(difference[..., : LONGEST * scale]).mean(axis=(0, 1, 2)))
    rounding = min(float(np.median(change[: len(change) // 4])), _ROUNDING)
    seen = np.flatnonzero(change > max(VISIBLE, _ABOVE * rounding))
    return int(np.ceil(LONGEST - seen[0] / scale)) if len(seen) else 1


def _strips(rng: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of (1, 3, _HEIGHT, 2 LONGEST) float32 in [0, 1]: a strip, and what to exchange half of it for."""
    noise = rng.random((1, 3, _HEIGHT, 2 * LONGEST), dtype=np.float32)
    busy = _shapes(rng, 0.5, 0.28, (4, 8, 16, 32)) + rng.normal(0, 0.03, noise.shape)
    soft = _shapes(rng, 0.5, 0.06, (8, 16, 32, 64))
    bright = np.full(noise.shape, 0.95)
    scratched = soft.copy()
    scratched[..., np.arange(2 * LONGEST) % 16 < 2] = 1
    for strip, other in ((busy, noise), (soft, scratched), (bright, noise)):
        yield np.clip(strip, 0, 1).astype(np.float32), np.clip(other, 0, 1).astype(np.float32)


def _shapes(rng: np.random.Generator, mean: float, deviation: float, sizes: tuple[int, ...]) -> np.ndarray:
    """Smooth patches of several sizes in colours that lie near gray, as in photos."""
    picture = np.zeros((_HEIGHT, 2 * LONGEST, 3))
    for size in sizes:
        rows, columns = -(-_HEIGHT // size) + 1, 2 * LONGEST // size + 1
        coarse = rng.normal(0, 1, (rows, columns, 1)) + 0.4 * rng.normal(0, 1, (rows, columns, 3))
        fine = cv2.resize(coarse, None, fx=size, fy=size, interpolation=cv2.INTER_CUBIC)
        picture += fine[:_HEIGHT, : 2 * LONGEST]
    return (mean + deviation * picture / picture.std()).transpose(2, 0, 1)[None]
