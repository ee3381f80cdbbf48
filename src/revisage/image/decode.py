"""Files, bytes, Pillow images and arrays to a Photo."""

import io
import os
import stat
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from revisage.errors import PhotoError, PhotoTooLargeError, UsageError
from revisage.image.decoders import checked_format, dpi_of, exif_and_orientation, read, xmp_of
from revisage.image.formats import EXTENSION, HEAD_BYTES
from revisage.image.isolation.pool import decode_isolated
from revisage.image.photo import Metadata, Photo
from revisage.image.planes import Planes, oriented, planes_from_pillow, planes_of
from revisage.image.xmp import clean_xmp
from revisage.options import DecodeLimits


def decode(
    source: str | Path | bytes,
    *,
    limits: DecodeLimits | None = None,
    isolate: bool = True,
    damaged: bool | None = None,
    page: int = 0,
) -> Photo:
    """Read a picture of a file (a path) or of its bytes: the one at `page`, counted from 0.

    With `isolate`, in a child process that `limits` bound and that may crash without harm; without, in this
    process, where only `limits.max_pixels` holds: for files you made yourself. Thread-safe. Of a `damaged`
    file what is there is read (`Photo.there`); False is for who can choose: the error names the option.

    Raises UnsupportedFormatError for a format that is none of `formats.READ_NAMES`;
    PhotoTooLargeError beyond the limits; DamagedError when a part is there; PhotoError when it cannot be
    opened or is damaged beyond. The message does not name the file.
    """
    limits = limits or DecodeLimits()
    another = partial(_decode, source, limits, isolate, damaged)
    return replace(another(page), page=another)


def _decode(
    source: str | Path | bytes, limits: DecodeLimits, isolate: bool, damaged: bool | None, page: int
) -> Photo:
    if isinstance(source, bytes | bytearray | memoryview):
        data = bytes(source)
        return _decode_stream(io.BytesIO(data), len(data), limits, isolate, damaged, page)
    path = Path(source)
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise PhotoError(f"it is a folder{'' if os.access(path, os.R_OK) else ' that may not be read'}")
        if not stat.S_ISREG(status.st_mode):  # before opening: a named pipe would block
            raise PhotoError("it is not a regular file")
        with path.open("rb") as file:
            return _decode_stream(file, status.st_size, limits, isolate, damaged, page)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise PhotoError(f"it cannot be opened ({getattr(error, 'strerror', None) or error})") from error


def from_array(array: np.ndarray) -> Photo:
    """A Photo of an array: (H, W) or (H, W, 1) gray, (H, W, 2) gray and alpha, (H, W, 3) RGB, (H, W, 4) RGBA.

    uint8 or uint16 over the full range, channels in RGB order; the pixels are copied. Raises UsageError
    otherwise.
    """
    array = np.asarray(array)
    if array.dtype not in (np.uint8, np.uint16):
        hint = "; (255 * array).round().astype('uint8') is of 0 to 1" if array.dtype.kind == "f" else ""
        raise UsageError(f"the array must be uint8 or uint16 over the full range, not {array.dtype}{hint}")
    if array.ndim not in (2, 3) or array.shape[2:] > (4,) or 0 in array.shape:
        hint = ": np.moveaxis(array, 0, -1)" if array.ndim == 3 and array.shape[0] in (1, 2, 3, 4) else ""
        raise UsageError(f"the array must be (H, W) or (H, W, 1 to 4), not {array.shape}{hint}")
    return _photo(planes_of(array))


def from_pillow(image: Image.Image) -> Photo:
    """A Photo of a Pillow image of any mode, turned by its EXIF; mode I is of 8 bits where no value is above
    255, else of 16. Raises PhotoError where it cannot load."""
    format = "JPEG" if image.format in ("JPEG", "MPO") else image.format or "PNG"
    if 0 in image.size:
        raise PhotoError("the Pillow image has no pixels")
    try:
        exif, orientation = exif_and_orientation(image, format)
        dpi = dpi_of(image)
        image.load()
        if format == "TIFF":
            orientation = 1  # Pillow turns it on loading
        narrow = image.mode == "I" and image.getextrema()[1] <= 255  # type: ignore[operator]
        planes = oriented(planes_from_pillow(image.convert("L") if narrow else image), orientation)
    except Exception as error:
        raise PhotoError(f"the Pillow image cannot be loaded ({error})") from error
    known = format if format in EXTENSION else "PNG"
    xmp = clean_xmp(xmp_of(image), orientation=orientation, stored=image.size)
    return _photo(replace(planes, format=known, exif=exif, xmp=xmp, dpi=dpi))


def _decode_stream(  # noqa: PLR0917 (one call)
    stream: BinaryIO, length: int, limits: DecodeLimits, isolate: bool, damaged: bool | None, page: int
) -> Photo:
    # What the header alone decides is refused here, before a child is troubled with it.
    head = stream.read(HEAD_BYTES)
    stream.seek(0)
    checked_format(head, limits.max_pixels)
    if length > limits.memory_bytes:
        raise PhotoTooLargeError(f"the file has {length:,} bytes, more than the limit of memory allows")
    if isolate:
        return _photo(decode_isolated(stream, length, limits, page=page, damaged=damaged))
    return _photo(read(stream.read(), limits.max_pixels, page=page, damaged=damaged))


def _photo(found: Planes) -> Photo:
    said = {part.name: getattr(found, part.name) for part in fields(Metadata)}
    if found.dpi and found.orientation >= 5:
        said["dpi"] = found.dpi[::-1]
    pixels = np.repeat(found.colour[..., None], 3, axis=2) if found.gray else found.colour
    alpha = None if found.alpha is None else _own(found.alpha)
    return Photo(_own(pixels), alpha, found.gray, **said)


def _own(array: np.ndarray) -> np.ndarray:
    """Contiguous and writable: Pillow lends its arrays read-only."""
    return np.require(array, requirements=["C", "W", "O"])
