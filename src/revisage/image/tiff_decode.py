"""The pages of a TIFF to planes: by Pillow, or by libtiff (imagecodecs) for samples of 16 bits and more."""

import io
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image, TiffImagePlugin

from revisage.errors import PhotoError
from revisage.image import colour
from revisage.image.containers import tiff
from revisage.image.iptc import clean_iptc
from revisage.image.metadata import clean_exif, valid_dpi
from revisage.image.photo import in_bands
from revisage.image.planes import (
    Planes,
    check_page,
    check_pixels,
    oriented,
    planes_from_pillow,
    planes_of,
    scale_wide,
    share_there,
)
from revisage.image.xmp import clean_xmp

_WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC, _ORIENTATION = 256, 257, 258, 262, 274
_SAMPLES, _PLANAR, _EXTRA, _SAMPLE_FORMAT = 277, 284, 338, 339
_SUBFILE, _DNG_VERSION, _XMP, _ICC = 254, 50706, 700, 34675
_WHITE_POINT, _CHROMATICITIES = 318, 319
_REDUCED, _MASK = 1, 4  # of _SUBFILE

_MAX_PAGES = 10_000


class RawError(Exception):
    """The first picture is only a preview, as in camera raw files."""


@dataclass(frozen=True)
class _Directory:
    """One of a file: where it is, and the tags that say how it holds its pixels."""

    index: int
    offset: int
    tags: Any

    def number(self, tag: int, default: int) -> int:
        return int(self.tags.get(tag, default))

    def several(self, tag: int, default: tuple[int, ...]) -> tuple[int, ...]:
        value = self.tags.get(tag, default)
        return value if isinstance(value, tuple) else (value,)

    @property
    def size(self) -> tuple[int, int]:
        return self.number(_WIDTH, 0), self.number(_HEIGHT, 0)

    @property
    def bits(self) -> tuple[int, ...]:
        """Of each channel."""
        bits, samples = self.several(_BITS, (1,)), self.number(_SAMPLES, 1)
        return bits * samples if len(bits) == 1 and samples < 16 else bits

    @property
    def colours(self) -> int:
        """Channels that are colour; the rest are extra."""
        return 3 if self.number(_PHOTOMETRIC, 1) == 2 else 1

    @property
    def deep(self) -> bool:
        """Whether it is gray or RGB of whole numbers or floats of 16 to 64 bits."""
        return (
            len(set(self.bits)) == 1
            and self.bits[0] in (16, 32, 64)
            and set(self.several(_SAMPLE_FORMAT, (1,))) <= {1, 2, 3}
            and self.number(_PHOTOMETRIC, 1) in (0, 1, 2)
            and len(self.bits) >= self.colours
        )


def read_tiff(data: bytes, max_pixels: int, page: int = 0, *, partly: bool = False) -> Planes:
    """Decode a page, counted from 0. Raises PhotoError and its kinds, and whatever the decoders raise."""
    first, *others = _directories(data)
    if _DNG_VERSION in first.tags or data[8:10] == b"CR" or first.number(_SUBFILE, 0) & _REDUCED:
        raise RawError
    pages = [first, *(one for one in others if not one.number(_SUBFILE, 0) & (_REDUCED | _MASK))]
    check_page(page, len(pages))
    directory = pages[page]
    tags = directory.tags
    check_pixels(directory.size, max_pixels)
    icc, xmp = (value if isinstance(value := tags.get(tag), bytes) else None for tag in (_ICC, _XMP))
    orientation = tags.get(_ORIENTATION, 1)
    orientation = orientation if isinstance(orientation, int) else 1
    if directory.deep:
        if partly:  # libtiff fills no missing end: as many bytes as the picture has are enough
            width, height = directory.size
            data += bytes(width * height * sum(directory.bits) // 8)
        planes = oriented(_deep_planes(data, directory, icc), orientation)
    else:
        with Image.open(io.BytesIO(data), formats=("TIFF",)) as image:
            image.seek(directory.index)
            check_pixels(image.size, max_pixels)
            image.load()  # turns it upright as well
            planes = planes_from_pillow(image)
    points = (*tags.get(_CHROMATICITIES, ()), *tags.get(_WHITE_POINT, ()))
    if icc is None and len(points) == 8:
        planes = colour.apply(planes, colour.of_gamma(2.2, [float(v) for v in points]))
    there = 1.0
    if partly:  # of the rows as they are stored
        there = share_there(oriented(planes, {6: 8, 8: 6}.get(orientation, orientation)).colour)
    return replace(
        planes,
        format="TIFF",
        exif=clean_exif(_exif(data, directory.offset)),
        xmp=clean_xmp(xmp, orientation=orientation, stored=directory.size),
        iptc=clean_iptc(tiff.iptc_of(tags), keep_gps=True),
        dpi=_dpi(tags),
        orientation=orientation,
        pages=len(pages),
        there=there,
    )


def _directories(data: bytes) -> list[_Directory]:
    # Pillow's own table reader, used directly: Image.open refuses layouts that libtiff can read.
    header = data[:16] if b"+" in data[2:4] else data[:8]  # BigTIFF's header is longer
    stream = io.BytesIO(data)
    offset = TiffImagePlugin.ImageFileDirectory_v2(header).next
    found: dict[int, _Directory] = {}
    while offset and offset not in found and len(found) < _MAX_PAGES:
        tags = TiffImagePlugin.ImageFileDirectory_v2(header)
        stream.seek(offset)
        try:
            tags.load(stream)
        except Exception:
            if not found:
                raise
            break  # a broken chain costs the pages behind, not those before
        if not found and _WIDTH not in tags:
            raise PhotoError("it is damaged: it ends before the directory that tells where its picture lies")
        found[offset] = _Directory(len(found), offset, tags)
        offset = tags.next
    return list(found.values())


def _deep_planes(data: bytes, directory: _Directory, icc: bytes | None) -> Planes:
    """Raises PhotoError when libtiff gives another shape."""
    import imagecodecs

    array = imagecodecs.tiff_decode(data, index=directory.index)
    samples, colours = len(directory.bits), directory.colours
    width, height = directory.size
    if array.shape == (samples, height, width) and directory.number(_PLANAR, 1) == 2 and samples > 1:
        array = np.moveaxis(array, 0, 2)
    if samples == 1 and array.ndim == 2:
        array = array[..., None]
    if array.shape != (height, width, samples):
        raise PhotoError(
            f"its TIFF layout {array.shape} is not one of (height, width, samples): save it again"
        )
    colour = scale_wide(array[..., :colours])
    if directory.number(_PHOTOMETRIC, 1) == 0:
        colour = 65535 - colour
    alpha, extra = None, (*directory.several(_EXTRA, ()), 0)[0]
    if extra in (1, 2) and samples > colours:
        alpha = np.ascontiguousarray(scale_wide(array[..., colours]))
        if extra == 1:
            colour = _straight(colour, alpha)
    return replace(planes_of(colour, icc), alpha=alpha)


def _straight(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Undo premultiplication (TIFF ExtraSamples 1): colour / alpha, black where alpha is 0."""

    def divided(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
        alpha = np.maximum(alpha[..., None].astype(np.uint32), 1)
        return np.asarray(np.minimum((colour.astype(np.uint32) * 65535 + alpha // 2) // alpha, 65535))

    return in_bands(divided, np.uint16, colour, alpha)


def _dpi(tags: Any) -> tuple[float, float] | None:
    per_inch = {2: 1.0, 3: 2.54}.get(tags.get(296, 2))
    found = valid_dpi((tags.get(282), tags.get(283)))
    return None if per_inch is None or found is None else (found[0] * per_inch, found[1] * per_inch)


def exif_of_tiff(data: bytes) -> bytes | None:
    """Of its first directory."""
    return clean_exif(_exif(data, _directories(data)[0].offset))


def _exif(data: bytes, offset: int) -> bytes | None:
    try:
        return tiff.exif_of(data, offset)
    except Exception:  # broken tags never cost the picture
        return None
