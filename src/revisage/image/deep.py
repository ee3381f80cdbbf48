"""16 bits per channel of PNG, where Pillow keeps only 8: through imagecodecs (libpng)."""

from __future__ import annotations

import numpy as np

from revisage.image.metadata import valid_icc
from revisage.image.planes import Planes


def read_png(data: bytes, icc: bytes | None) -> Planes:
    """Decode a 16-bit PNG; a tRNS key comes back as alpha."""
    import imagecodecs

    return split(imagecodecs.png_decode(data), icc)


def split(array: np.ndarray, icc: bytes | None) -> Planes:
    """The planes of an array (H, W) or (H, W, 1 to 4), gray or RGB, with alpha last."""
    if array.ndim == 2:
        array = array[..., None]
    channels = array.shape[2]
    alpha = np.ascontiguousarray(array[..., -1]) if channels in (2, 4) else None
    if channels <= 2:
        return Planes(np.ascontiguousarray(array[..., 0]), alpha, valid_icc(icc, "GRAY"))
    return Planes(np.ascontiguousarray(array[..., :3]), alpha, valid_icc(icc, "RGB "))
