"""The sizes at which a picture is searched for faces, and the windows through which they are."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from revisage.faces.align import invert, turn_matrix

_SIDES = (224, 360, 640)  # long sides of the searches for large faces ...
_PIXELS = 2048 * 1536  # ... and pixels of the finest one, which hints at a face of 16 pixels in 12 megapixels
_CELL = 32  # of the network: a level ends on whole ones ...
_MARGIN = 16  # ... and is mirrored so far beyond the picture, which makes half a face at its edge a whole one
_TILE = 832
_OVERLAP = 96
# In a tile only faces up to this many pixels are asked for. Those up to the overlap of two tiles lie whole in
# one; larger ones may, and are a fourth of this at the coarser level, where small ones are faint.
_LARGEST_IN_TILE = 240


@dataclass(frozen=True)
class Window:
    """What is seen at once: pixels (H, W, 3), and the similarity (2, 3) from there to the picture.

    `inner` says which of its edges, left, top, right, bottom, lie within the picture.
    """

    pixels: np.ndarray
    to_picture: np.ndarray
    inner: tuple[bool, bool, bool, bool]

    def own(self, rows: np.ndarray) -> np.ndarray:
        """Which finds (n, 4+: x, y, w, h in the window) count.

        Not those an inner edge cuts, nor those that a coarser level sees better.
        """
        if not any(self.inner):
            return np.ones(len(rows), bool)
        x, y, w, h = rows[:, :4].T
        height, width = self.pixels.shape[:2]
        keep = np.maximum(w, h) <= _LARGEST_IN_TILE
        clear = (x > 1, y > 1, x + w < width - 1, y + h < height - 1)
        for is_clear, inner in zip(clear, self.inner, strict=True):
            keep &= is_clear | (not inner)
        return keep


@dataclass(frozen=True)
class Level:
    """A picture at `scale` times its size, mirrored beyond its edges: pixels (H, W, 3)."""

    scale: float
    pixels: np.ndarray

    def windows(self, turn: int) -> Iterator[Window]:
        """All of the level, turned clockwise by `turn` degrees."""
        matrix = turn_matrix(turn, (self.pixels.shape[1], self.pixels.shape[0]))
        pixels = np.rot90(self.pixels, -turn // 90) if turn % 90 == 0 else _slanted(self.pixels, matrix)
        height, width = pixels.shape[:2]
        back = invert(matrix)
        for top, bottom in _spans(height):
            for left, right in _spans(width):
                # Pixel centres: p in the level is (p - margin + 0.5) / scale - 0.5 in the picture.
                shift = back[:, :2] @ (left, top) + back[:, 2] - _MARGIN + 0.5
                matrix = np.column_stack([back[:, :2], shift]) / self.scale
                matrix[:, 2] -= 0.5
                inner = (left > 0, top > 0, right < width, bottom < height)
                yield Window(np.ascontiguousarray(pixels[top:bottom, left:right]), matrix, inner)


def _slanted(pixels: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """(H, W, 3) moved by a matrix of `turn_matrix`, all of it, on gray; sides of whole cells."""
    height, width = pixels.shape[:2]
    corners = matrix[:, :2] @ np.array([[0, width - 1, 0, width - 1], [0, 0, height - 1, height - 1]])
    across, down = (-(-math.ceil(side + 1) // _CELL) * _CELL for side in np.ptp(corners, axis=1))
    return cv2.warpAffine(pixels, matrix, (across, down), borderValue=(127, 127, 127))


def pyramid(image: np.ndarray) -> list[Level]:
    """The levels at which a picture (H, W, 3) is searched, coarsest first; none enlarges it."""
    height, width = image.shape[:2]
    levels: list[Level] = []
    for scale in reversed(scales(image.shape[1], image.shape[0])):
        image = _reduced(image, max(1, round(width * scale)), max(1, round(height * scale)))
        below, beside = (_MARGIN + -side % _CELL for side in image.shape[:2])
        mirrored = cv2.copyMakeBorder(image, _MARGIN, below, _MARGIN, beside, cv2.BORDER_REFLECT)
        levels.append(Level(scale, mirrored))
    return levels[::-1]


def _reduced(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """By halves first, which OpenCV averages some ten times as fast as what lies between whole factors."""
    while picture.shape[1] >= 2 * width and picture.shape[0] >= 2 * height:
        half = picture.shape[1] // 2, picture.shape[0] // 2
        even = picture[: 2 * half[1], : 2 * half[0]]
        picture = cv2.resize(even, half, interpolation=cv2.INTER_AREA)
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)


def scales(width: int, height: int) -> list[float]:
    """Factors at which to search a picture, each 1 or less, ascending; the finest has at most `_PIXELS`."""
    longest = max(width, height)
    finest = min(1.0, math.sqrt(_PIXELS / (width * height)))
    return [side / longest for side in _SIDES if side < finest * longest] + [finest]


def _spans(length: int) -> list[tuple[int, int]]:
    """Equal tiles of whole cells along a side, evenly spread, overlapping by at least `_OVERLAP`."""
    count = -(-(length - _OVERLAP) // (_TILE - _OVERLAP)) if length > _TILE else 1
    side = -(-(length + (count - 1) * _OVERLAP) // (count * _CELL)) * _CELL
    starts = [round(index * (length - side) / max(count - 1, 1)) for index in range(count)]
    return [(start, start + side) for start in starts]
