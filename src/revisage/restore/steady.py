"""One face in several frames of a film: what restoration made of it, averaged where the film shows the same.

A bilateral filter over time (Tomasi and Manduchi, *Bilateral filtering for gray and color images*, ICCV 1998)
on crops that the face's landmarks hold still: a neighbouring frame counts the less the further away it is,
and at each pixel the more the film itself differs there. So noise and the model's wavering are averaged, and
a mouth that opens, or a light that goes on, is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from revisage.errors import FaceError
from revisage.faces import estimate
from revisage.restore import tiles
from revisage.restore.paste import CUBIC, mask, place, sample

SIGMA = 2.0
"""Standard deviation of a frame's weight over time, in frames."""

REACH = 6
"""Frames to each side that are looked at: three standard deviations."""

SIDES = (64, 512)
"""Least and largest side of a crop."""

PATCH = 7
"""Side of the square over which two frames are compared at a pixel."""

LEVEL = 1.5 / 255
"""Difference that counts as none even in a film without noise."""


@dataclass(frozen=True)
class Look:
    """A face in one frame, on the template.

    Args:
        before: (S, S, 3) float32 in [0, 1], of the film.
        after: (S, S, 3) float32 in [0, 1], of the restored film.
    """

    before: np.ndarray
    after: np.ndarray


def side(width: float, scale: int) -> int:
    """The side of the crops of a face `width` pixels wide, that a restored frame resolves."""
    return int(np.clip(2 * width * scale, *SIDES))


def look(before: np.ndarray, after: np.ndarray, landmarks: np.ndarray, scale: int, size: int) -> Look | None:
    """Cut a face from a frame and from the same frame restored; None where landmarks are not a face's.

    Args:
        before: (H, W, 3), uint8 or uint16.
        after: (H scale, W scale, 3).
        landmarks: (5, 2) in `before`.
        scale: of `after`.
        size: side of the crops.
    """
    try:
        matrix = estimate(landmarks, size)
        return Look(sample(before, place(matrix, size, 1)), sample(after, place(matrix, size, scale)))
    except FaceError:
        return None


def change(looks: Mapping[int, Look], frame: int) -> np.ndarray:
    """(S, S, 3) float32: what is to be added to the restored face in `frame`, given its looks by frame."""
    here = looks[frame]
    apart = {
        other: _difference(looks[other].before, here.before)
        for other in looks
        if other != frame and abs(other - frame) <= REACH
    }
    near = [float(np.median(apart[other])) for other in (frame - 1, frame + 1) if other in apart]
    # The film's noise, from the neighbour that is more alike: the other may lie behind a cut.
    tolerance = 2 * min(near, default=0.0) + LEVEL**2
    total, weights = here.after.copy(), np.ones(here.after.shape[:2], np.float32)
    for other, difference in apart.items():
        weight = np.exp(-0.5 * ((other - frame) / SIGMA) ** 2 - 0.5 * difference / tolerance)
        weight = weight.astype(np.float32)
        total += weight[..., None] * looks[other].after
        weights += weight
    return np.asarray(total / weights[..., None] - here.after)


def add(pixels: np.ndarray, landmarks: np.ndarray, scale: int, layer: np.ndarray) -> None:
    """Add a layer, (S, S, 3) in shares of the full range, to a face of a restored frame, in place; it fades
    at the rim of the oval."""
    size = layer.shape[0]
    placement = place(estimate(landmarks, size), size, scale)
    left, top, right, bottom = placement.region(pixels.shape)
    if right <= left or bottom <= top:
        return
    weight = mask(placement.radius((left, top, right, bottom)))
    local = placement.to_crop.copy()
    local[:, 2] += local[:, :2] @ (left, top)
    warped = cv2.warpAffine(
        layer, local, (right - left, bottom - top), flags=CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    target = pixels[top:bottom, left:right]
    target[...] = tiles.to_integer(tiles.to_float(target) + weight[..., None] * warped, pixels.dtype)


def _difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(S, S) float32: squared difference of the means over patches, mean over colours."""
    return np.asarray(np.square(cv2.blur(first - second, (PATCH, PATCH))).mean(axis=2))
