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
    strips = [np.concatenate([_fill(to_bytes(p), height, width) for p in row], axis=1) for row in rows]
    count = -(-len(strips) // columns)
    strips += [np.zeros_like(strips[0])] * (count * columns - len(strips))
    groups = [np.concatenate(strips[i * count : (i + 1) * count], axis=0) for i in range(columns)]
    return np.concatenate(groups, axis=1)


def _fill(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    return np.pad(picture, ((0, height - picture.shape[0]), (0, width - picture.shape[1]), (0, 0)))
