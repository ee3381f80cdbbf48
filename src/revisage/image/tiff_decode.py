"""The pages of a TIFF to planes: by Pillow, or by libtiff (imagecodecs) for samples of 16 bits and more."""

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, TiffImagePlugin

from revisage.errors import PhotoError
from revisage.image import colour
from revisage.image.containers import tiff
from revisage.image.decoded import Decoded, check_page, check_pixels
from revisage.image.iptc import clean_iptc
from revisage.image.metadata import clean_exif, valid_dpi, valid_icc
from revisage.image.planes import Planes, oriented, planes_from_pillow, scale_wide, share_there
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
class _Layout:
    """The tags that say how a directory holds its pixels."""

    bits: tuple[int, ...]
    photometric: int
    sample_format: tuple[int, ...]
    extra: tuple[int, ...]
    planar: int
    size: tuple[int, int]

    @property
    def deep(self) -> bool:
        """Whether it is gray or RGB of whole numbers or floats of 16 to 64 bits."""
        return (
            len(set(self.bits)) == 1
            and self.bits[0] in (16, 32, 64)
            and set(self.sample_format) <= {1, 2, 3}
            and self.photometric in (0, 1, 2)
            and len(self.bits) >= self.colours
        )

    @property
    def colours(self) -> int:
        """Channels that are colour; the rest are extra."""
        return 3 if self.photometric == 2 else 1


def read_tiff(data: bytes, max_pixels: int, page: int = 0, *, partly: bool = False) -> Decoded:
    """Decode a page, counted from 0. Raises PhotoError and its kinds, and whatever the decoders raise."""
    first, *others = _directories(data)
    if _DNG_VERSION in first.tags or data[8:10] == b"CR" or first.subfile & _REDUCED:
        raise RawError
    pages = [first, *(one for one in others if not one.subfile & (_REDUCED | _MASK))]
    check_page(page, len(pages))
    index, tags = pages[page].index, pages[page].tags
    layout = _layout(tags)
    check_pixels(layout.size, max_pixels)
    icc, xmp = (value if isinstance(value := tags.get(tag), bytes) else None for tag in (_ICC, _XMP))
    orientation = tags.get(_ORIENTATION, 1)
    orientation = orientation if isinstance(orientation, int) else 1
    if layout.deep:
        planes = oriented(_deep_planes(data, index, layout, icc), orientation)
    else:
        with Image.open(io.BytesIO(data), formats=("TIFF",)) as image:
            image.seek(index)
            check_pixels(image.size, max_pixels)
            image.load()  # turns it upright as well
            planes = planes_from_pillow(image)
    points = (*tags.get(_CHROMATICITIES, ()), *tags.get(_WHITE_POINT, ()))
    if icc is None and len(points) == 8:
        planes, _, _ = colour.apply(planes, colour.of_gamma(2.2, [float(v) for v in points]))
    return Decoded(
        planes,
        "TIFF",
        exif=clean_exif(_exif(data, pages[page].offset)),
        xmp=clean_xmp(xmp, orientation=orientation, stored=layout.size),
        iptc=clean_iptc(tiff.iptc_of(tags), keep_gps=True),
        dpi=_dpi(tags),
        orientation=orientation,
        pages=len(pages),
        there=share_there(oriented(planes, {6: 8, 8: 6}.get(orientation, orientation)).colour)
        if partly
        else 1.0,
    )


@dataclass(frozen=True)
class _Directory:
    index: int
    offset: int
    tags: Any

    @property
    def subfile(self) -> int:
        return int(self.tags.get(_SUBFILE, 0))


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
        found[offset] = _Directory(len(found), offset, tags)
        offset = tags.next
    return list(found.values())


def _layout(tags: Any) -> _Layout:
    def several(tag: int, default: tuple[int, ...]) -> tuple[int, ...]:
        value = tags.get(tag, default)
        return value if isinstance(value, tuple) else (value,)

    samples = int(tags.get(_SAMPLES, 1))
    bits = several(_BITS, (1,))
    return _Layout(
        bits=bits * samples if len(bits) == 1 and samples < 16 else bits,
        photometric=int(tags.get(_PHOTOMETRIC, 1)),
        sample_format=several(_SAMPLE_FORMAT, (1,)),
        extra=several(_EXTRA, ()),
        planar=int(tags.get(_PLANAR, 1)),
        size=(int(tags.get(_WIDTH, 0)), int(tags.get(_HEIGHT, 0))),
    )


def _deep_planes(data: bytes, index: int, layout: _Layout, icc: bytes | None) -> Planes:
    """Raises PhotoError when libtiff gives another shape."""
    import imagecodecs

    array = imagecodecs.tiff_decode(data, index=index)
    samples = len(layout.bits)
    width, height = layout.size
    if array.shape == (samples, height, width) and layout.planar == 2 and samples > 1:
        array = np.moveaxis(array, 0, 2)
    if samples == 1 and array.ndim == 2:
        array = array[..., None]
    if array.shape != (height, width, samples):
        raise PhotoError(
            f"its TIFF layout {array.shape} is not one of (height, width, samples): save it again"
        )
    colour = scale_wide(array[..., : layout.colours])
    if layout.photometric == 0:
        colour = 65535 - colour
    alpha = None
    if layout.extra[:1] in ((1,), (2,)) and samples > layout.colours:
        alpha = scale_wide(array[..., layout.colours])
        if layout.extra[0] == 1:
            colour = _straight(colour, alpha)
    if layout.colours == 1:
        return Planes(np.ascontiguousarray(colour[..., 0]), alpha, valid_icc(icc, "GRAY"))
    return Planes(np.ascontiguousarray(colour), alpha, valid_icc(icc, "RGB "))


def _straight(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Undo premultiplication (TIFF ExtraSamples 1): colour / alpha, black where alpha is 0."""
    out = np.empty_like(colour)
    for row in range(0, colour.shape[0], 256):
        a = np.maximum(alpha[row : row + 256, :, None].astype(np.uint32), 1)
        out[row : row + 256] = np.minimum(
            (colour[row : row + 256].astype(np.uint32) * 65535 + a // 2) // a, 65535
        )
    return out


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
