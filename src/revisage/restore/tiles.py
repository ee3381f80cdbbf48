"""A picture through a local operation in tiles, equal to one pass over the whole.

Every tile is a core and a halo around it; the operation sees both, only the core is kept. Where the halo is
at least as wide as the operation reaches (`receptive_field` measures it), each kept pixel saw what it would
have seen in the whole picture, so there is nothing to blend and no seam to see. Beyond the border the picture
is mirrored, for tiles and whole alike.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

ALIGN = 8
"""Windows start and end on multiples of this, so that networks which unshuffle by 2 or 4, or look through
windows of 8 (SwinIR), keep their phase."""

Operation = Callable[[np.ndarray], np.ndarray]
"""(N, h, w, 3) float32 in [0, 1] -> (N, h scale, w scale, 3) float32; h and w are multiples of ALIGN."""


@dataclass(frozen=True)
class Tile:
    """A core rectangle in pixels of the input; cores are of one size and the last may reach outside."""

    top: int
    left: int
    height: int
    width: int


def plan(height: int, width: int, core: int) -> list[Tile]:
    """Equal tiles with sides of at most `core` (a multiple of ALIGN) that cover height × width, row by row.

    Equal sizes let the runtime compile one shape for the whole photo.
    """
    assert core > 0, core
    assert core % ALIGN == 0, core
    tall, wide = _side(height, core), _side(width, core)
    return [Tile(top, left, tall, wide) for top in range(0, height, tall) for left in range(0, width, wide)]


def _side(length: int, core: int) -> int:
    count = -(-length // core)
    return -(-length // (count * ALIGN)) * ALIGN


def mirror(start: int, stop: int, length: int) -> np.ndarray:
    """Indices start..stop of a signal of `length` mirrored at its ends (edge sample not repeated)."""
    if length == 1:
        return np.zeros(stop - start, np.intp)
    period = 2 * (length - 1)
    phase = np.arange(start, stop) % period
    return np.minimum(phase, period - phase)


def window(pixels: np.ndarray, tile: Tile, halo: int) -> np.ndarray:
    """The tile and its halo, (height + 2 halo, width + 2 halo, 3), mirrored beyond the picture's border."""
    top, left = tile.top - halo, tile.left - halo
    bottom, right = tile.top + tile.height + halo, tile.left + tile.width + halo
    if top >= 0 and left >= 0 and bottom <= pixels.shape[0] and right <= pixels.shape[1]:
        return pixels[top:bottom, left:right]
    rows = mirror(top, bottom, pixels.shape[0])
    columns = mirror(left, right, pixels.shape[1])
    return pixels[rows[:, None], columns[None, :]]


def run(
    pixels: np.ndarray,
    operation: Operation,
    *,
    scale: int,
    core: int,
    halo: int,
    batch: int = 1,
    on_tile: Callable[[int, int], None],
) -> np.ndarray:
    """Apply `operation` over the picture, some tiles at a time.

    Args:
        pixels: (H, W, 3), uint8 or uint16.
        operation: see `Operation`; it must not reach further than `halo`.
        scale: factor by which the operation enlarges.
        core: largest side of a tile without its halo.
        halo: pixels of context on each side; rounded up to a multiple of ALIGN.
        batch: largest number of tiles given to the operation at once.
        on_tile: called with (done, total) after each tile.

    Returns:
        (H scale, W scale, 3) of the input's dtype. Only one batch at a time is held in floating point.
    """
    height, width = pixels.shape[:2]
    halo = -(-halo // ALIGN) * ALIGN
    canvas = np.empty((height * scale, width * scale, 3), pixels.dtype)
    tiles = plan(height, width, core)
    for start in range(0, len(tiles), batch):
        part = tiles[start : start + batch]
        outputs = operation(np.stack([to_float(window(pixels, tile, halo)) for tile in part]))
        for done, (tile, output) in enumerate(zip(part, outputs, strict=True), start + 1):
            rows = min(tile.height, height - tile.top) * scale
            columns = min(tile.width, width - tile.left) * scale
            edge = halo * scale
            assert output.shape[0] == (tile.height + 2 * halo) * scale, output.shape
            target = canvas[tile.top * scale :, tile.left * scale :][:rows, :columns]
            target[...] = to_integer(output[edge : edge + rows, edge : edge + columns], pixels.dtype)
            on_tile(done, len(tiles))
    return canvas


def to_float(pixels: np.ndarray) -> np.ndarray:
    """Integer pixels at full range -> float32 in [0, 1]."""
    return np.multiply(pixels, 1 / np.iinfo(pixels.dtype).max, dtype=np.float32)


def to_integer(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Float pixels in [0, 1], clipped, -> `dtype` at full range, rounded."""
    top = np.iinfo(dtype).max
    scaled = np.clip(values, 0, 1) * np.float32(top)
    return np.add(scaled, 0.5, out=scaled).astype(dtype)
