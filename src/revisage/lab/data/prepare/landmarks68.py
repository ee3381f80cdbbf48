"""The 68 landmarks of the landmark attention, and the five-point estimate that needs no further weights.

Points are numbered as iBUG's 300-W has them (Sagonas et al., ICCVW 2013): 0-16 the outline from the person's
right ear over the chin to the left, 17-26 the brows, 27-35 the nose, 36-47 the eyes, 48-67 the mouth. x, y in
pixels of the picture, pixel centres at whole numbers.
"""

from collections.abc import Callable

import numpy as np

from revisage.faces import template

COUNT = 68
MIRRORED = (
    *range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1), 45, 44, 43, 42, 47, 46,
    39, 38, 37, 36, 41, 40, *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), *range(67, 64, -1),
)  # fmt: skip
"""What each point is called once left and right are exchanged."""

FindsLandmarks = Callable[[np.ndarray], np.ndarray | None]
"""(H, W, 3) RGB uint8 -> (68, 2) float32 of its largest face; None without one. Called from threads."""

# The person's right half of a mean face, and its middle, on the FFHQ template at 512 px; the left half is the
# mirror image at x = 256. Medians of what dlib's predictor finds in 424 aligned pictures of LFW and their
# mirror images.
_RIGHT = {
    0: (116, 248), 1: (119, 284), 2: (123, 320), 3: (129, 356), 4: (140, 390), 5: (161, 420),
    6: (188, 444), 7: (220, 464), 17: (145, 221), 18: (162, 205), 19: (185, 200), 20: (210, 203),
    21: (233, 212), 31: (229, 324), 32: (242, 329), 36: (173, 244), 37: (188, 236), 38: (205, 236),
    39: (220, 246), 40: (204, 249), 41: (187, 249), 48: (203, 371), 49: (221, 361), 50: (241, 357),
    58: (240, 398), 59: (221, 390), 60: (211, 372), 61: (241, 368), 67: (240, 381),
}  # fmt: skip
_MIDDLE = {8: 470, 27: 238, 28: 261, 29: 284, 30: 307, 33: 333, 51: 360, 57: 400, 62: 369, 66: 383}


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
    source = np.column_stack((template(512).astype(np.float64), np.ones(5)))
    affine, *_ = np.linalg.lstsq(source, np.asarray(five, np.float64), rcond=None)
    mean = np.column_stack((template68(512).astype(np.float64), np.ones(COUNT)))
    return (mean @ affine).astype(np.float32)


def mirror68(points: np.ndarray, width: int) -> np.ndarray:
    """(68, 2) in a picture `width` pixels wide -> in its mirror image, right and left renamed."""
    mirrored = points[list(MIRRORED)].copy()
    mirrored[:, 0] = width - 1 - mirrored[:, 0]
    return mirrored
