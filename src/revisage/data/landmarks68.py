"""The 68 landmarks of the landmark attention, and the five-point estimate that needs no further weights.

Points are numbered as iBUG's 300-W has them (Sagonas et al., ICCVW 2013): 0-16 the outline from the person's
right ear over the chin to the left, 17-26 the brows, 27-35 the nose, 36-47 the eyes, 48-67 the mouth. x, y in
pixels of the picture, pixel centres at whole numbers.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from revisage.faces import Face, template

COUNT = 68
MIRRORED = (
    *range(16, -1, -1),
    *range(26, 16, -1),
    *range(27, 31),
    *range(35, 30, -1),
    *(45, 44, 43, 42, 47, 46),
    *(39, 38, 37, 36, 41, 40),
    *range(54, 47, -1),
    *range(59, 54, -1),
    *(64, 63, 62, 61, 60),
    *(67, 66, 65),
)
"""What each point is called once left and right are exchanged."""

FindsLandmarks = Callable[[np.ndarray], np.ndarray | None]
"""(H, W, 3) RGB uint8 -> (68, 2) float32 of its largest face; None without one. Called from threads."""

# The person's right half of a face that looks straight ahead, and the middle, on the FFHQ template at 512 px:
# drawn by hand around the template's five points. The left half is its mirror image at x = 256.
_RIGHT = {
    0: (110, 242),
    1: (113, 279),
    2: (119, 315),
    3: (128, 350),
    4: (142, 382),
    5: (163, 409),
    6: (190, 431),
    7: (221, 447),
    17: (133, 208),
    18: (150, 193),
    19: (175, 188),
    20: (201, 192),
    21: (225, 202),
    31: (224, 328),
    32: (239, 334),
    36: (167, 242),
    37: (183, 231),
    38: (204, 231),
    39: (221, 243),
    40: (203, 248),
    41: (182, 248),
    48: (201, 371),
    49: (219, 359),
    50: (240, 352),
    58: (240, 396),
    59: (219, 387),
    60: (210, 371),
    61: (239, 367),
    67: (239, 376),
}
_MIDDLE = {8: 452, 27: 236, 28: 261, 29: 286, 30: 312, 33: 337, 51: 355, 57: 398, 62: 368, 66: 377}


def template68(size: int) -> np.ndarray:
    """(68, 2) float32: the landmarks of a mean face in a crop of `size` pixels on the FFHQ template."""
    points = np.zeros((COUNT, 2))
    for i, (x, y) in _RIGHT.items():
        points[i], points[MIRRORED[i]] = (x, y), (512 - x, y)
    for i, y in _MIDDLE.items():
        points[i] = 256, y
    return (points * (size / 512)).astype(np.float32)


def estimate68(five: np.ndarray) -> np.ndarray:
    """(5, 2) landmarks -> (68, 2) float32: the mean face brought onto them by an affine map, least squares.

    An approximation: it follows place, size, turn and foreshortening, but not an open mouth, a raised brow or
    the shape of this face's outline.
    """
    size = 512
    source = np.column_stack((template(size).astype(np.float64), np.ones(5)))
    affine, *_ = np.linalg.lstsq(source, np.asarray(five, np.float64), rcond=None)
    mean = np.column_stack((template68(size).astype(np.float64), np.ones(COUNT)))
    return (mean @ affine).astype(np.float32)


def mirror68(points: np.ndarray, width: int) -> np.ndarray:
    """(68, 2) in a picture `width` pixels wide -> in its mirror image, right and left renamed."""
    mirrored = points[list(MIRRORED)].copy()
    mirrored[:, 0] = width - 1 - mirrored[:, 0]
    return mirrored


def estimator(find: Callable[[np.ndarray], list[Face]]) -> FindsLandmarks:
    """A finder of 68 points from one of faces with five: `estimate68` of the largest face."""

    def landmarks(picture: np.ndarray) -> np.ndarray | None:
        found = find(picture)
        return estimate68(found[0].landmarks) if found else None

    return landmarks
