"""A photo that needs no cleaning stays as it is also where a scene model takes some of it for damage.

Noise, blur and the blocks of JPEG lie over a whole photo. A model that sees some pixels around each may
smooth a patch of fur or halftone in a photo that it leaves alone elsewhere: there the patch is the mistake.
"""

import cv2
import numpy as np

_BLOCK = 16  # pixels
_DETAILED = 0.01  # least deviation of the gray of a block that can tell, in parts of white
_ALONE = 0.004  # most change of a block that is left alone, root mean square
_MOSTLY, _ALL = 0.6, 0.8  # share of blocks left alone from which changes fade, and from which there are none
_ENOUGH = 2_000_000  # pixels to look at


def left_alone(canvas: np.ndarray, pixels: np.ndarray) -> float:
    """The share of the detailed blocks of a photo (H, W, 3), uint8 or uint16, that its cleaned copy leaves as
    they are; 0 where none has details."""
    top = np.iinfo(pixels.dtype).max
    detailed = alone = 0
    step = _BLOCK * -(-pixels.shape[0] * pixels.shape[1] // _ENOUGH)
    for first in range(0, pixels.shape[0] - _BLOCK + 1, step):
        before, after = (picture[first : first + _BLOCK] for picture in (pixels, canvas))
        gray = cv2.cvtColor(before, cv2.COLOR_RGB2GRAY).astype(np.float32) / top
        change = cv2.absdiff(after, before).astype(np.float32) / top
        tells = _means(gray**2) - _means(gray) ** 2 >= _DETAILED**2
        detailed += int(tells.sum())
        alone += int((tells & (_means((change**2).mean(axis=2)) <= _ALONE**2)).sum())
    return alone / max(detailed, 1)


def spare(canvas: np.ndarray, pixels: np.ndarray, clean: float) -> float:
    """Takes back, in place, what was cleaned of a photo that was mostly left alone; the share that stays.

    Less is taken back the further `clean` is above the default, 0.5: who asks for more wants it cleaned.
    """
    untouched = np.clip((left_alone(canvas, pixels) - _MOSTLY) / (_ALL - _MOSTLY), 0, 1)
    share = float(1 - untouched * min(1, 2 - 2 * clean))
    if share < 1:
        cv2.addWeighted(canvas, share, pixels, 1 - share, 0, dst=canvas)
    return share


def _means(values: np.ndarray) -> np.ndarray:
    """(_BLOCK, W) float32 -> the mean of each block that is whole."""
    whole = values[:, : values.shape[1] // _BLOCK * _BLOCK]
    return whole.reshape(_BLOCK, -1, _BLOCK).mean(axis=(0, 2))
