"""16 bits per channel, where Pillow keeps only 8: PNG and TIFF through imagecodecs (libpng, libtiff)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from revisage.errors import PhotoError
from revisage.image.metadata import valid_icc
from revisage.image.planes import Planes


@dataclass(frozen=True)
class TiffLayout:
    """The tags that say how the first directory of a TIFF holds its pixels."""

    bits: tuple[int, ...]
    photometric: int
    sample_format: tuple[int, ...]
    extra: tuple[int, ...]
    planar: int
    size: tuple[int, int]

    @property
    def deep(self) -> bool:
        """Whether it is gray or RGB of 16-bit unsigned samples, the only layout read here."""
        return (
            set(self.bits) == {16}
            and set(self.sample_format) <= {1}
            and self.photometric in (0, 1, 2)
            and len(self.bits) >= self.colours
        )

    @property
    def colours(self) -> int:
        """Channels that are colour; the rest are extra."""
        return 3 if self.photometric == 2 else 1


def read_png(data: bytes, icc: bytes | None) -> Planes:
    """Decode a 16-bit PNG; a tRNS key comes back as alpha."""
    import imagecodecs

    return _split(imagecodecs.png_decode(data), icc)


def read_tiff(data: bytes, layout: TiffLayout, icc: bytes | None) -> Planes:
    """Decode the first picture of a 16-bit TIFF. Raises PhotoError when libtiff gives another shape."""
    import imagecodecs

    array = imagecodecs.tiff_decode(data)
    samples = len(layout.bits)
    width, height = layout.size
    if array.shape == (samples, height, width) and layout.planar == 2 and samples > 1:
        array = np.moveaxis(array, 0, 2)
    if samples == 1 and array.ndim == 2:
        array = array[..., None]
    if array.shape != (height, width, samples) or array.dtype != np.uint16:
        raise PhotoError(
            f"its 16-bit TIFF layout {array.shape} is not one of (height, width, samples): save it again"
        )
    colour = array[..., : layout.colours]
    if layout.photometric == 0:
        colour = 65535 - colour
    alpha = None
    if layout.extra[:1] in ((1,), (2,)) and samples > layout.colours:
        alpha = np.ascontiguousarray(array[..., layout.colours])
        if layout.extra[0] == 1:
            colour = _straight(colour, alpha)
    if layout.colours == 1:
        return Planes(np.ascontiguousarray(colour[..., 0]), alpha, valid_icc(icc, "GRAY"))
    return Planes(np.ascontiguousarray(colour), alpha, valid_icc(icc, "RGB "))


def _split(array: np.ndarray, icc: bytes | None) -> Planes:
    channels = 1 if array.ndim == 2 else array.shape[2]
    alpha = np.ascontiguousarray(array[..., -1]) if channels in (2, 4) else None
    if channels <= 2:
        gray = array if array.ndim == 2 else np.ascontiguousarray(array[..., 0])
        return Planes(gray, alpha, valid_icc(icc, "GRAY"))
    return Planes(np.ascontiguousarray(array[..., :3]), alpha, valid_icc(icc, "RGB "))


def _straight(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Undo premultiplication (TIFF ExtraSamples 1): colour / alpha, black where alpha is 0."""
    out = np.empty_like(colour)
    for row in range(0, colour.shape[0], 256):
        a = np.maximum(alpha[row : row + 256, :, None].astype(np.uint32), 1)
        out[row : row + 256] = np.minimum(
            (colour[row : row + 256].astype(np.uint32) * 65535 + a // 2) // a, 65535
        )
    return out
