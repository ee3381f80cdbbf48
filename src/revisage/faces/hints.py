"""Small faces that a reduced picture only hints at, seen in the picture itself, many on one sheet."""

import cv2
import numpy as np

from revisage.faces.align import turn_matrix
from revisage.faces.looks import Looks
from revisage.faces.rows import mapped, suppress

LEAST_SCORE = 0.3  # of a hint
_LARGEST = 24  # a hint's side in pixels of the reduced picture; what is larger has been seen
_ZOOM = 2.0  # at most so much larger than in the reduced picture it is seen ...
_PATCH = 96  # ... in a square of so many pixels, ...
_ACROSS = 4  # ... so many by so many of them on a sheet
_CORE = 32  # pixels from the middle of its square in which a face counts
_MOST = 512  # squares of one picture


def seen_closely(looks: Looks, hints: np.ndarray, scale: float, threshold: float) -> np.ndarray:
    """(n, 15) what scores `threshold` or more around hints (m, 15) of the picture reduced to `scale`."""
    zoom = min(1.0, _ZOOM * scale)
    hints = hints[hints[:, 2:4].max(1) * scale <= _LARGEST]
    hints[:, :2] += (hints[:, 2:4] - _CORE / zoom) / 2
    hints[:, 2:4] = _CORE / zoom
    hints = suppress(hints, 0.3)[:_MOST]  # one square shows neighbours together
    middles, side = hints[:, :2] + hints[:, 2:4] / 2, round(_PATCH / zoom)
    linear = turn_matrix(-looks.turn, (1, 1))[:, :2] * side / _PATCH
    found = [hints[:0]]
    for first in range(0, len(middles), _ACROSS**2):
        some = middles[first : first + _ACROSS**2]
        sheet = np.zeros((_ACROSS * _PATCH, _ACROSS * _PATCH, 3), np.uint8)
        for cell, middle in enumerate(some):
            patch = cv2.getRectSubPix(looks.image, (side, side), middle)
            patch = cv2.resize(patch, (_PATCH, _PATCH), interpolation=cv2.INTER_AREA)
            top, left = (_PATCH * place for place in divmod(cell, _ACROSS))
            sheet[top : top + _PATCH, left : left + _PATCH] = np.rot90(patch, -looks.turn // 90)
        rows = looks.network.rows(sheet, threshold)
        places = rows[:, :2] + rows[:, 2:4] / 2
        for cell, middle in enumerate(some):
            corner = _PATCH * np.array(divmod(cell, _ACROSS))[::-1]
            own = (np.abs(places - corner - (_PATCH - 1) / 2) <= _CORE).all(1)
            matrix = np.column_stack([linear, middle - linear @ (corner + (_PATCH - 1) / 2)])
            found.append(mapped(rows[own], matrix))
    return np.concatenate(found)
