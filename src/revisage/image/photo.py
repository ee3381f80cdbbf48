"""A decoded photo: pixels, and what a file says about them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from revisage.image.xmp import TURNS, clean_xmp


def eight_bits(array: np.ndarray) -> np.ndarray:
    """uint16 over the full range to the nearest uint8; uint8 as it is. Contiguous."""
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    return in_bands(lambda band: (band.astype(np.uint32) + 128) // 257, np.uint8, array)  # 65535 = 255 · 257


def in_bands(work: Callable[..., np.ndarray], dtype: npt.DTypeLike, *planes: np.ndarray) -> np.ndarray:
    """What `work` makes of some rows of each plane at a time, so that nothing wider than the result is held
    whole. It has the shape of the first plane."""
    out = np.empty(planes[0].shape, dtype)
    for row in range(0, len(out), 256):
        out[row : row + 256] = work(*(plane[row : row + 256] for plane in planes))
    return out


def turned_plane(plane: np.ndarray, orientation: int) -> np.ndarray:
    """(H, W) or (H, W, 3) turned upright by an EXIF orientation, 2 to 8; contiguous."""
    a, b, _, d, e, _ = map(int, TURNS[orientation])
    return np.ascontiguousarray((plane if a else plane.swapaxes(0, 1))[:: d + e, :: a + b])


@dataclass(frozen=True, eq=False, kw_only=True)
class Metadata:
    """What a file says beside its pixels."""

    icc: bytes | None = None  #: profile of the pixels (RGB, or GRAY of a gray picture); None stands for sRGB
    cicp: tuple[int, int] | None = None  #: primaries and transfer by ITU-T H.273, if the file had such
    exif: bytes | None = None  #: EXIF block from b"Exif\0\0" on, orientation 1, the old thumbnail removed
    xmp: bytes | None = None  #: XMP packet, UTF-8, what it said of orientation, size and thumbnail removed
    iptc: bytes | None = None  #: IPTC-IIM records: captions, keywords, credits
    texts: tuple[tuple[str, str], ...] = ()  #: keywords, of a comment "Comment", and texts, as PNG has them
    dpi: tuple[float, float] | None = None  #: pixels per inch, horizontal and vertical
    format: str = "PNG"  #: where it came from, as `revisage.image.formats` names it: JPEG, RAW
    orientation: int = 1  #: EXIF orientation of the file's pixels, from which these were turned upright
    pages: int = 1  #: pictures in its file: pages of a TIFF, frames of an animation, pictures of a burst
    there: float = 1.0  #: share of the picture that its file held; less than 1 only of a damaged one
    notes: tuple[str, ...] = ()  #: what the file held and this photo does not, or not as it was, in words


@dataclass(frozen=True, eq=False)
class Photo(Metadata):
    """One picture in memory, upright, with the metadata that survives to the output.

    `dataclasses.replace(photo, pixels=...)` gives a restored photo that keeps everything else; the new pixels
    may have another size or depth, as long as `alpha` goes with them.
    """

    pixels: np.ndarray  #: (H, W, 3) RGB, uint8 or uint16 over the full range, orientation already applied
    alpha: np.ndarray | None = None  #: (H, W), dtype of `pixels`, straight; None without transparency
    gray: bool = False  #: of a single channel, and written as one: the three of `pixels` are equal
    sidecar: str | None = None  #: of an XMP file beside it that `xmp` has: its name behind the stem
    page: Callable[[int], Photo] | None = field(default=None, repr=False)  #: decodes the picture at a number

    def __post_init__(self) -> None:
        assert self.pixels.shape[2:] == (3,), self.pixels.shape
        assert self.pixels.dtype in (np.uint8, np.uint16), self.pixels.dtype
        if self.alpha is not None:
            assert self.alpha.shape == self.pixels.shape[:2], (self.alpha.shape, self.pixels.shape)
            assert self.alpha.dtype == self.pixels.dtype, (self.alpha.dtype, self.pixels.dtype)

    def turned(self, degrees: int) -> Photo:
        """The photo turned clockwise by a multiple of 90 degrees, with the regions in its XMP."""
        from revisage.image.metadata import without_subject  # here, for containers know this module

        if degrees % 360 == 0:
            return self

        way = {90: 6, 180: 3, 270: 8}[degrees % 360]
        pixels = turned_plane(self.pixels, way)
        alpha = None if self.alpha is None else turned_plane(self.alpha, way)
        dpi = self.dpi if self.dpi is None or degrees % 180 == 0 else self.dpi[::-1]
        exif, xmp = without_subject(self.exif), clean_xmp(self.xmp, orientation=way)
        return replace(self, pixels=pixels, alpha=alpha, dpi=dpi, exif=exif, xmp=xmp)

    @property
    def colour(self) -> np.ndarray:
        """`pixels`, as (H, W) where they are gray."""
        return np.ascontiguousarray(self.pixels[..., 0]) if self.gray else self.pixels

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]
