"""Between uint8 pictures, [0, 1] pictures and network tensors; and grids to look at."""

from collections.abc import Sequence

import numpy as np


def to_unit(picture: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 -> float32 in [0, 1]."""
    return picture.astype(np.float32) / np.float32(255)


def from_unit(picture: np.ndarray) -> np.ndarray:
    """(H, W, 3) float32 in [0, 1] -> (3, H, W) in [-1, 1], rounded to 8 bits as a file would be."""
    rounded = np.rint(picture * 255) * np.float32(2 / 255) - 1
    return np.ascontiguousarray(rounded.transpose(2, 0, 1), dtype=np.float32)


def unit_tensor(picture: np.ndarray) -> np.ndarray:
    """(H, W, 3) float32 in [0, 1] -> (3, H, W) likewise, rounded to 8 bits."""
    return from_unit(picture) * np.float32(0.5) + np.float32(0.5)


def to_bytes(picture: np.ndarray) -> np.ndarray:
    """(3, H, W) in [-1, 1] -> (H, W, 3) uint8, clipped."""
    return np.rint(np.clip(picture.transpose(1, 2, 0) * 0.5 + 0.5, 0, 1) * 255).astype(np.uint8)


def grid(rows: Sequence[Sequence[np.ndarray]], *, columns: int) -> np.ndarray:
    """Rows of (3, H, W) pictures in [-1, 1], laid out in `columns` groups -> (H', W', 3) uint8. Smaller
    pictures are filled up with black at the right and below."""
    height, width = (max(p.shape[axis] for row in rows for p in row) for axis in (1, 2))
    strips = []
    for row in rows:
        margins = (((0, height - p.shape[1]), (0, width - p.shape[2]), (0, 0)) for p in row)
        strips.append(np.hstack([np.pad(to_bytes(p), m) for p, m in zip(row, margins, strict=True)]))
    count = -(-len(strips) // columns)
    strips += [np.zeros_like(strips[0])] * (count * columns - len(strips))
    return np.hstack([np.vstack(strips[i * count : (i + 1) * count]) for i in range(columns)])
