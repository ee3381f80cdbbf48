"""Pupils that a flash has turned red, made dark again."""

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from revisage.faces import Face
from revisage.image import Photo
from revisage.restore import tiles

SMALLEST = 16.0  #: pixels between the eyes of the smallest face in which a pupil is more than a dot

AROUND = 0.22
"""Half the side of the square around an eye's landmark, as all lengths here in distances between the eyes."""

NEAR, LEAST, WIDEST, ROUND = 0.13, 0.03, 0.22, 0.6
"""How far the middle of a pupil may lie from the landmark, how wide it is at least and at most, and the share
of the circle around it that it fills."""

RED, VIVID = 2.5, 0.3
"""Of a red pupil: red squared by green squared and blue squared, by how much red exceeds both, 0 to 1 ..."""

REDDER, MORE_VIVID = 2.0, 1.6
"""... and how many times those of its surroundings the two are: skin is reddish too, brown eyes are more."""


def without_red_eyes(photo: Photo, found: Sequence[Face]) -> tuple[Photo, int]:
    """The photo with red pupils as dark as their green and blue are, and how many there were.

    A pupil is a disc at the place of an eye, redder than everything around it; its catchlight has as much
    green and blue and so stays. A photo without any comes back as it is.
    """
    pixels, count = photo.pixels, 0
    for face in found if not photo.gray else ():
        apart = float(np.hypot(*(face.landmarks[1] - face.landmarks[0])))
        for eye in face.landmarks[:2] if apart >= SMALLEST else ():
            left, top = (max(0, round(float(at) - AROUND * apart)) for at in eye)
            side = round(2 * AROUND * apart)
            area = tiles.to_float(pixels[top : top + side, left : left + side])
            mask = _pupil(area, eye - (left, top), apart) if area.size else None
            if mask is None:
                continue
            pixels, count = (pixels if count else pixels.copy()), count + 1
            dark = np.repeat(area[..., 1:].mean(axis=2, keepdims=True), 3, axis=2)
            better = tiles.to_integer(area + mask[..., None] * (dark - area), pixels.dtype)
            place = pixels[top : top + side, left : left + side]
            place[...] = np.where(mask[..., None] > 0, better, place)
    return (replace(photo, pixels=pixels) if count else photo), count


def _pupil(area: np.ndarray, eye: np.ndarray, apart: float) -> np.ndarray | None:
    """Of (h, w, 3) in [0, 1] around an eye at `eye` (x, y) how much of each pixel is red pupil, 0 to 1."""
    red, others = area[..., 0], area[..., 1:]
    ratio = red**2 / ((others**2).sum(axis=2) + 1e-3)
    excess = red - others.max(axis=2)
    vivid = ratio > max(RED, REDDER * float(np.median(ratio)))
    vivid &= excess > max(VIVID, MORE_VIVID * float(np.median(excess)))
    _, parts, stats, centres = cv2.connectedComponentsWithStats(vivid.astype(np.uint8))
    for number in range(1, len(stats)):
        outlines, _ = cv2.findContours(
            (parts == number).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
        )
        disc = cv2.drawContours(np.zeros(parts.shape, np.uint8), outlines, -1, 1, cv2.FILLED)
        width = 2 * cv2.minEnclosingCircle(outlines[0])[1]
        if (
            np.hypot(*(centres[number] - eye)) <= NEAR * apart
            and LEAST * apart <= width <= WIDEST * apart
            and disc.sum() >= ROUND * np.pi / 4 * width**2
        ):
            grown = cv2.dilate(disc, np.ones((3, 3), np.uint8)).astype(np.float32)
            return np.maximum(cv2.GaussianBlur(grown, (0, 0), max(0.5, 0.012 * apart)), disc)
    return None
