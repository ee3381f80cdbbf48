"""A photo that needs no cleaning stays as it is also where a scene model takes some of it for damage.

Noise, blur and the blocks of JPEG lie over a whole photo. A model that sees some pixels around each may
smooth a patch of fur or halftone in a photo that it leaves alone elsewhere: there the patch is the mistake.
"""

import math

import cv2
import numpy as np

_BLOCK = 16  # pixels
_AROUND = 48  # blocks along each side of what is judged together: less than a print on an album's page
_DETAILED = 0.01  # least deviation of the gray of a block that can tell, in parts of white
_ALONE = 0.004  # most change of a block that is left alone, root mean square
_MOSTLY, _ALL = 0.6, 0.8  # share of blocks left alone from which changes fade, and from which there are none
_ROWS = 128  # taken back together
_ENOUGH = 2_000_000  # pixels to look at: of a larger photo every second or third


def left_alone(canvas: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Which share of the detailed blocks around each block of a photo (H, W, 3), uint8 or uint16, its cleaned
    copy leaves as they are: (h, w) float32, 0 where none has details."""
    top, step = np.iinfo(pixels.dtype).max, math.ceil(math.sqrt(pixels[..., 0].size / _ENOUGH))
    before, after = (np.ascontiguousarray(picture[::step, ::step]) for picture in (pixels, canvas))
    gray = cv2.cvtColor(before, cv2.COLOR_RGB2GRAY).astype(np.float32) / top
    change = cv2.absdiff(after, before).astype(np.float32) / top
    tells = (_means(gray**2) - _means(gray) ** 2 >= _DETAILED**2).astype(np.float32)
    alone = tells * (_means((change**2).mean(axis=2)) <= _ALONE**2)
    around = math.ceil(_AROUND / step)
    seen, left = (
        cv2.boxFilter(part, -1, (around, around), normalize=False, borderType=cv2.BORDER_CONSTANT)
        for part in (tells, alone)
    )
    return left / np.maximum(seen, 1)


def spare(canvas: np.ndarray, pixels: np.ndarray, clean: float) -> float:
    """Takes back, in place, what was cleaned where a photo was mostly left alone; the share that stays.

    Less is taken back the further `clean` is above the default, 0.5: who asks for more wants it cleaned.
    """
    if min(pixels.shape[:2]) < _BLOCK:
        return 1.0
    untouched = np.clip((left_alone(canvas, pixels) - _MOSTLY) / (_ALL - _MOSTLY), 0, 1)
    stays = 1 - untouched * min(1, 2 - 2 * clean)
    if (stays < 1).any():
        weights = cv2.resize(stays, pixels.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        for first in range(0, len(pixels), _ROWS):
            part = np.s_[first : first + _ROWS]
            before = pixels[part].astype(np.float32)
            canvas[part] = np.rint(before + (canvas[part] - before) * weights[part, :, None])
    return float(stays.mean())


def _means(values: np.ndarray) -> np.ndarray:
    """(H, W) float32 -> the mean of each block that is whole."""
    height, width = (length // _BLOCK * _BLOCK for length in values.shape)
    blocks = values[:height, :width].reshape(height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK)
    return blocks.mean(axis=(1, 3))
