"""A photo's fine grain, given back to what a scene model has made of it."""

import cv2
import numpy as np

_RADIUS = 6  # pixels of the photo that a filter reaches
REACH = 2 * _RADIUS + 2  # two of them, and the enlargement
_COARSE = 2.0  # sigma in pixels of the photo from which on detail is no grain
_EVEN, _DETAILED = 6 / 255, 12 / 255  # mean height of fine detail between which a place is no even one
_MOST = 16 / 255  # what differs by more is no grain


def with_grain(output: np.ndarray, source: np.ndarray, share: float) -> np.ndarray:
    """(N, C, H scale, W scale) float32 in [0, 1], made of `source` (N, C, H, W), in place, with a `share`, 0
    to 1, of the fine detail that the source, enlarged bicubically, has beyond it. Where the output has much
    of its own it stays: edges are to be clear, and grain is hardly seen there."""
    scale = output.shape[2] // source.shape[2]

    def smooth(plane: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(plane, (2 * _RADIUS * scale + 1,) * 2, _COARSE * scale)

    for planes, befores in zip(output, source, strict=True):
        for plane, before in zip(planes, befores, strict=True):
            lost = cv2.resize(before, plane.shape[::-1], interpolation=cv2.INTER_CUBIC) - plane
            lost = np.clip(lost - smooth(lost), -_MOST, _MOST)
            detail = smooth(np.abs(plane - smooth(plane)))
            even = np.clip((_DETAILED - detail) / (_DETAILED - _EVEN), 0, 1)
            np.add(plane, np.float32(share) * even * lost, out=plane)
    return output
