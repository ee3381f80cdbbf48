"""What the detector answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Face:
    """One face in a picture, in the picture's pixels.

    Attributes:
        box: x, y, width, height; it may reach over the picture's edge.
        landmarks: (5, 2) float32 x, y: right eye, left eye, nose, right and left mouth corner. Right is the
            person's right, which is left in the picture.
        score: confidence in [0, 1].
    """

    box: tuple[float, float, float, float]
    landmarks: np.ndarray
    score: float
