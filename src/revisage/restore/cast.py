"""The mean colour that restoration changed a face by: measured, and changed by as much again.

A film is restored frame by frame; what differs from frame to frame in this mean is seen as flicker.
"""

from __future__ import annotations

import numpy as np

from revisage.faces import estimate
from revisage.restore import tiles
from revisage.restore.paste import Placement, inside, mask, place, sample

SIDE = 64
"""Side of the crops that are compared; the mean needs no more."""


def measure(before: np.ndarray, after: np.ndarray, landmarks: np.ndarray, scale: int) -> np.ndarray:
    """(3,) float64: mean of `after` - `before` over the face's oval, in shares of the full range.

    Args:
        before: (H, W, 3), uint8 or uint16.
        after: (H scale, W scale, 3), the same restored.
        landmarks: (5, 2) in `before`.

    Raises FaceError when the landmarks do not lie like a face's.
    """
    here, there = _placed(landmarks, 1), _placed(landmarks, scale)
    size = (0, 0, SIDE, SIDE)
    oval = mask(Placement(SIDE, np.eye(2, 3), 1.0).radius(size)) * inside(before.shape, here)
    change = sample(after, there) - sample(before, here)
    return (change * oval[..., None]).sum((0, 1), dtype=np.float64) / max(float(oval.sum()), 1e-6)


def add(pixels: np.ndarray, landmarks: np.ndarray, scale: int, colour: np.ndarray) -> None:
    """Add a colour, (3,) in shares of the full range, to a face of a restored photo, in place; it fades at
    the rim of the oval. Raises FaceError."""
    placement = _placed(landmarks, scale)
    left, top, right, bottom = placement.region(pixels.shape)
    if right <= left or bottom <= top:
        return
    weight = mask(placement.radius((left, top, right, bottom)))
    target = pixels[top:bottom, left:right]
    shifted = tiles.to_float(target) + weight[..., None] * colour.astype(np.float32)
    target[...] = tiles.to_integer(shifted, pixels.dtype)


def _placed(landmarks: np.ndarray, scale: int) -> Placement:
    return place(estimate(landmarks, SIDE), SIDE, scale)
