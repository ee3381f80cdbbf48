"""A photo's fine grain, given back to what a scene model has made of it."""

import cv2
import numpy as np

_RADIUS = 6  # pixels of the photo around each that its grain is told by ...
REACH = _RADIUS + 2  # ... and the enlargement's
_COARSE = 2.0  # sigma in pixels of the photo from which on detail is no grain
_MOST = 16 / 255  # what differs by more is an edge that has become clearer


def with_grain(output: np.ndarray, source: np.ndarray, share: float) -> np.ndarray:
    """(N, C, H scale, W scale) float32 in [0, 1], made of `source` (N, C, H, W), in place, with a `share`, 0
    to 1, of the fine detail that the source, enlarged bicubically, has beyond it."""
    scale = output.shape[2] // source.shape[2]
    side = (2 * _RADIUS * scale + 1,) * 2
    for planes, befores in zip(output, source, strict=True):
        for plane, before in zip(planes, befores, strict=True):
            lost = cv2.resize(before, plane.shape[::-1], interpolation=cv2.INTER_CUBIC) - plane
            lost -= cv2.GaussianBlur(lost, side, _COARSE * scale)
            np.add(plane, np.float32(share) * np.clip(lost, -_MOST, _MOST), out=plane)
    return output
