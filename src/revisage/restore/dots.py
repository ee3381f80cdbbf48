"""Dots that a network with a stem adds to smooth places, one in each of its blocks, taken back."""

import cv2
import numpy as np

_RINGS = [np.pad(np.zeros((side, side), np.uint8), 1, constant_values=1) for side in (1, 3)]
"""What dots of a pixel, and of up to three by three, stand out from: what is around. A line goes through."""

_GAIN = 2  # a dot of the photo itself may become so much stronger, ...
_SLACK = 1  # ... and by so many of 255 levels


def without_dots(output: np.ndarray, source: np.ndarray) -> np.ndarray:
    """(N, C, H scale, W scale) float32 in [0, 1], made of `source` (N, C, H, W), in place.

    Each pixel is held within the range of those around it, one and two away, extended by `_GAIN` times what
    the source, enlarged bicubically, goes beyond its own there. What is not finite stays.
    """
    size = output.shape[:1:-1]
    for planes, befores in zip(output, source, strict=True):
        for plane, before in zip(planes, befores, strict=True):
            levels = _levels(plane), _levels(cv2.resize(before, size, interpolation=cv2.INTER_CUBIC))
            lows, highs = zip(*(_bounds(*levels, ring) for ring in _RINGS), strict=True)
            held = np.clip(plane, _values(cv2.max(*lows)), _values(cv2.min(*highs)))
            np.copyto(plane, held, where=np.isfinite(plane))
    return output


def _bounds(levels: np.ndarray, before: np.ndarray, ring: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The least and the most that a pixel may have for what is around it."""
    less = cv2.subtract(cv2.erode(before, ring), before)
    more = cv2.subtract(before, cv2.dilate(before, ring))
    less, more = (cv2.convertScaleAbs(part, alpha=_GAIN, beta=_SLACK) for part in (less, more))
    return cv2.subtract(cv2.erode(levels, ring), less), cv2.add(cv2.dilate(levels, ring), more)


def _levels(plane: np.ndarray) -> np.ndarray:
    """Eight bits are enough to tell what stands out."""
    return cv2.convertScaleAbs(np.maximum(plane, 0), alpha=255)


def _values(levels: np.ndarray) -> np.ndarray:
    return np.multiply(levels, 1 / 255, dtype=np.float32)
