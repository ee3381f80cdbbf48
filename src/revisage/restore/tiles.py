"""A picture through a local operation in tiles, equal to one pass over the whole.

Every tile is a core and a halo around it; the operation sees both, only the core is kept. Where the halo is
at least as wide as the operation reaches (`receptive_field` measures it), each kept pixel saw what it would
have seen in the whole picture, so there is nothing to blend and no seam to see. Beyond the border the picture
is mirrored, for tiles and whole alike.
"""

from collections.abc import Callable

import numpy as np

from revisage.errors import RuntimeUnavailableError

ALIGN = 8
"""Windows start and end on multiples of this, so that networks which unshuffle by 2 or 4, or look through
windows of 8 (SwinIR), keep their phase."""

Operation = Callable[[np.ndarray], np.ndarray]
"""(N, h, w, 3) float32 in [0, 1] -> (N, h scale, w scale, 3) float32; h and w are multiples of ALIGN."""


def side(length: int, core: int) -> int:
    """The side, at most `core` (a multiple of ALIGN), of equal tiles that cover a length.

    Equal sizes let the runtime compile one shape for the whole photo.
    """
    assert core > 0, core
    assert core % ALIGN == 0, core
    count = -(-length // core)
    return -(-length // (count * ALIGN)) * ALIGN


def mirror(start: int, stop: int, length: int) -> np.ndarray:
    """Indices start..stop of a signal of `length` mirrored at its ends (edge sample not repeated)."""
    period = max(2 * (length - 1), 1)
    phase = np.arange(start, stop) % period
    return np.minimum(phase, period - phase)


def window(pixels: np.ndarray, top: int, left: int, bottom: int, right: int) -> np.ndarray:
    """(bottom - top, right - left, 3) of the picture, mirrored beyond its border."""
    if top >= 0 and left >= 0 and bottom <= pixels.shape[0] and right <= pixels.shape[1]:
        return pixels[top:bottom, left:right]
    rows, columns = mirror(top, bottom, pixels.shape[0]), mirror(left, right, pixels.shape[1])
    return pixels[rows[:, None], columns]


def run(
    pixels: np.ndarray,
    operation: Operation,
    *,
    scale: int,
    core: int,
    halo: int,
    batch: int = 1,
    on_tile: Callable[[int, int], None] = lambda done, total: None,
) -> np.ndarray:
    """(H, W, 3) uint8 or uint16 -> (H scale, W scale, 3) of the same: `operation` applied in tiles.

    It must not reach further than `halo`, pixels that are rounded up to a multiple of ALIGN. Tiles without
    these have sides of at most `core`; `batch` of them are held in floating point at once. `on_tile` is told
    (done, total) after each. Raises RuntimeUnavailableError where a number is not finite.
    """
    height, width = pixels.shape[:2]
    halo = -(-halo // ALIGN) * ALIGN
    canvas = np.empty((height * scale, width * scale, 3), pixels.dtype)
    tall, wide = side(height, core), side(width, core)
    corners = [(top, left) for top in range(0, height, tall) for left in range(0, width, wide)]
    for start in range(0, len(corners), batch):
        part = corners[start : start + batch]
        sources = [window(pixels, y - halo, x - halo, y + tall + halo, x + wide + halo) for y, x in part]
        outputs = operation(np.stack([to_float(source) for source in sources]))
        assert outputs.shape[1] == (tall + 2 * halo) * scale, outputs.shape
        if not np.isfinite(outputs).all():
            raise RuntimeUnavailableError("a model gave invalid numbers here: try --precision fp32")
        for done, ((y, x), output) in enumerate(zip(part, outputs, strict=True), start + 1):
            target = canvas[y * scale : (y + tall) * scale, x * scale : (x + wide) * scale]
            rows, columns = (slice(halo * scale, halo * scale + length) for length in target.shape[:2])
            target[...] = to_integer(output[rows, columns], pixels.dtype)
            on_tile(done, len(corners))
    return canvas


def to_float(pixels: np.ndarray) -> np.ndarray:
    """Integer pixels at full range -> float32 in [0, 1]."""
    return np.multiply(pixels, 1 / np.iinfo(pixels.dtype).max, dtype=np.float32)


def to_integer(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Float pixels in [0, 1], clipped, -> `dtype` at full range, rounded."""
    top = np.iinfo(dtype).max
    scaled = np.clip(values, 0, 1) * np.float32(top)
    return np.add(scaled, 0.5, out=scaled).astype(dtype)
