"""At which sizes, and through which windows, a picture is searched for faces."""

import math
from dataclasses import dataclass

import numpy as np

_SMALL = (224, 360)  # long sides of the coarsest searches, for faces that fill the picture
_WHOLE = 640  # long side of the search of a large picture as a whole
_STEP = 4.0  # largest factor between two searches: from some 20 pixels up a face is found at the coarser one
_PIXELS = 4096 * 3072  # of the finest search, whatever its shape: 12 megapixels are searched pixel by pixel
_TILE = 768
_OVERLAP = 96
# In a tile only faces up to this many pixels are asked for: they fit the overlap of two tiles, and larger
# ones were found at the coarser scale.
_LARGEST_IN_TILE = 88
_SIDE = 192  # columns of a tile at the picture's side that are searched a second time, mirrored


@dataclass(frozen=True)
class Window:
    """A rectangle of the picture scaled by `scale`: left, top, width, height there; `whole`: all of it."""

    scale: float
    left: int
    top: int
    width: int
    height: int
    whole: bool

    def own(self, rows: np.ndarray, width: int, height: int) -> np.ndarray:
        """Which finds (n, 4+: x, y, w, h in the window) count, of a scaled picture of `width` x `height`.

        Not those an inner edge cuts, nor those that a coarser scale sees better.
        """
        x, y, w, h = rows[:, :4].T
        if self.whole:
            return np.ones(len(rows), bool)
        keep: np.ndarray = np.maximum(w, h) <= _LARGEST_IN_TILE
        if self.left > 0:
            keep &= x > 1
        if self.top > 0:
            keep &= y > 1
        if self.left + self.width < width:
            keep &= x + w < self.width - 1
        if self.top + self.height < height:
            keep &= y + h < self.height - 1
        return keep

    def sides(self, width: int) -> list[tuple[int, int]]:
        """The columns of this window (start, stop) that lie at the left or right side of the scaled picture
        and hold the faces asked for there; as one where they meet."""
        if self.whole or self.width <= 2 * _SIDE:
            touches = self.left == 0 or self.left + self.width == width
            return [(0, self.width)] if touches else []
        ends = [(0, _SIDE)] if self.left == 0 else []
        return ends + ([(self.width - _SIDE, self.width)] if self.left + self.width == width else [])


def scales(width: int, height: int) -> list[float]:
    """Factors at which to search a picture, each 1 or less, ascending; the finest has at most `_PIXELS`."""
    longest = max(width, height)
    finest = longest * min(1.0, math.sqrt(_PIXELS / (width * height)))
    steps = math.ceil(math.log(finest / _WHOLE, _STEP)) if finest > _TILE else 0
    sides = [finest * (_WHOLE / finest) ** (step / steps) for step in range(steps, 0, -1)] + [float(finest)]
    return [side / longest for side in (*(small for small in _SMALL if small < sides[0]), *sides)]


def windows(width: int, height: int, scale: float) -> list[Window]:
    """The whole scaled picture when it is small enough, else tiles that overlap."""
    if max(width, height) <= _TILE:
        return [Window(scale, 0, 0, width, height, True)]
    return [
        Window(scale, left, top, min(_TILE, width), min(_TILE, height), False)
        for top in _starts(height)
        for left in _starts(width)
    ]


def _starts(length: int) -> list[int]:
    """Where tiles begin along a side: evenly spread, overlapping by at least `_OVERLAP`."""
    if length <= _TILE:
        return [0]
    count = -(-(length - _OVERLAP) // (_TILE - _OVERLAP))
    return [round(index * (length - _TILE) / (count - 1)) for index in range(count)]
