"""Random fields that several kinds of ageing share, cheap enough to draw for every training sample."""

import functools
import math

import cv2
import numpy as np

_SIDE = 256


def smooth_field(seed: int, height: int, width: int, period: float) -> np.ndarray:
    """(height, width) float32 of about zero mean and unit spread, its bumps some ``period`` pixels apart:
    white noise on a coarse grid, enlarged by cubic interpolation."""
    rows = max(2, math.ceil(height / max(period, 1.0)) + 1)
    columns = max(2, math.ceil(width / max(period, 1.0)) + 1)
    coarse = np.random.default_rng(seed).standard_normal((rows, columns), dtype=np.float32)
    if (rows, columns) == (height, width):
        return coarse
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


@functools.lru_cache(maxsize=4)
def _texture(name: str) -> np.ndarray:
    """A (256, 256) float32 tile, periodic, of zero mean and unit spread; drawn once in a process."""
    rng = np.random.default_rng({"paper": 1, "linen": 2, "silk": 3}[name])
    if name == "silk":
        # The hexagonal embossing of prints of the 1960s and 70s: three plane waves 60 degrees apart.
        y, x = np.mgrid[0:_SIDE, 0:_SIDE].astype(np.float32) * np.float32(2 * math.pi / _SIDE)
        tile = np.cos(48 * x) + np.cos(24 * x + 42 * y) + np.cos(24 * x - 42 * y)
    else:
        noise = rng.standard_normal((_SIDE, _SIDE))
        frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(_SIDE), np.fft.fftfreq(_SIDE)))
        spectrum = np.fft.fft2(noise) / (frequency + 0.03)
        tile = np.fft.ifft2(spectrum).real
        if name == "linen":
            threads = rng.standard_normal(_SIDE)[:, None] + rng.standard_normal(_SIDE)[None, :]
            tile = tile / tile.std() + threads
    tile = ((tile - tile.mean()) / tile.std()).astype(np.float32)
    tile.setflags(write=False)
    return tile


TEXTURES = ("paper", "linen", "silk")


def texture_field(name: str, seed: int, height: int, width: int, scale: float) -> np.ndarray:
    """(height, width) float32 cut at a random place and turn from a texture enlarged ``scale`` times."""
    rng = np.random.default_rng(seed)
    tile = np.rot90(_texture(name), int(rng.integers(4)))
    tile = np.roll(tile, tuple(int(n) for n in rng.integers(0, _SIDE, 2)), axis=(0, 1))
    beyond = [(0, max(math.ceil(side / scale) - _SIDE, 0)) for side in (height, width)]
    cut = np.pad(tile, beyond, mode="wrap")[: math.ceil(height / scale), : math.ceil(width / scale)]
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.resize(cut, (width, height), interpolation=how)
