"""Arithmetic on rows as `FaceDetectorYN` answers them: (n, 15) box x, y, w, h, five landmarks, score."""

import cv2
import numpy as np

BOX, POINTS, SCORE = slice(0, 4), slice(4, 14), 14
"""Columns."""

_NESTED = 0.7  # of two boxes, one inside the other by this share of its area, the better stays


def mapped(rows: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Rows with every place moved by the similarity `matrix` (2, 3).

    A box gets the sides of the box around its ellipse: those of a face that lies across are exchanged.
    """
    rows, linear = rows.copy(), matrix[:, :2]
    centre = (rows[:, :2] + rows[:, 2:4] / 2) @ linear.T + matrix[:, 2]
    rows[:, 2:4] = np.sqrt(np.square(rows[:, 2:4]) @ np.square(linear).T)
    rows[:, :2] = centre - rows[:, 2:4] / 2
    rows[:, POINTS] = (rows[:, POINTS].reshape(-1, 5, 2) @ linear.T + matrix[:, 2]).reshape(-1, 10)
    return rows


def mirrored(rows: np.ndarray, width: int) -> np.ndarray:
    """Rows of a mirrored look, `width` pixels wide, in the coordinates of the straight one; right and left
    change names."""
    rows = rows.copy()
    rows[:, 0] = width - 1 - rows[:, 0] - rows[:, 2]
    points = rows[:, POINTS].reshape(-1, 5, 2)[:, [1, 0, 2, 4, 3]]
    points[..., 0] = width - 1 - points[..., 0]
    rows[:, POINTS] = points.reshape(-1, 10)
    return rows


def beyond(rows: np.ndarray, image: np.ndarray) -> np.ndarray:
    """(n,) the share of its size by which each box is off `image` (H, W, 3), 0 or less inside."""
    corner, size = rows[:, :2], rows[:, 2:4]
    end = corner + size - np.array([image.shape[1], image.shape[0]])
    return (np.maximum(-corner, end) / size).max(1)


def iou(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of one box with each of (n, 4+) others."""
    shared = _shared(box, others)
    return shared / np.maximum(box[2:4].prod() + others[:, 2:4].prod(1) - shared, 1e-9)


def _shared(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    low = np.maximum(box[:2], others[:, :2])
    high = np.minimum(box[:2] + box[2:4], others[:, :2] + others[:, 2:4])
    return np.clip(high - low, 0, None).prod(1)


def suppress(found: np.ndarray, overlap: float) -> np.ndarray:
    """Each face once, best first: later boxes that overlap an earlier one, or nest with it, are dropped."""
    found = found[np.lexsort((found[:, 1], found[:, 0], -found[:, SCORE]))]
    found = found[list(cv2.dnn.NMSBoxes(found[:, BOX].tolist(), found[:, SCORE].tolist(), 0.0, overlap))]
    area = found[:, 2:4].prod(1)
    kept: list[int] = []
    for index, row in enumerate(found):
        nested = _shared(row, found[kept]) / np.maximum(np.minimum(area[kept], area[index]), 1e-9)
        if not (nested > _NESTED).any():
            kept.append(index)
    return found[kept]
