"""A Photo to the bytes of a file."""

import io
import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from revisage.errors import SaveError, UsageError
from revisage.files import write_atomically
from revisage.image.containers import boxes, jpeg, png, tiff, webp
from revisage.image.formats import EXTENSION, format_for, format_named
from revisage.image.iptc import clean_iptc
from revisage.image.metadata import exif_for, valid_icc
from revisage.image.photo import Photo, eight_bits, in_bands
from revisage.image.xmp import clean_xmp
from revisage.options import QUALITY

_MAX_SIDE = {"JPEG": 65_535, "PNG": 1_000_000, "WEBP": 16_383, "HEIF": 16_384, "AVIF": 65_535}
_TEN_BITS = frozenset({"HEIF"})  # as deep as what is written
_FULL_CHROMA_QUALITY = 90
_ALL = frozenset({"colour profile", "EXIF", "XMP", "IPTC records", "comment", "texts", "resolution",
                  "transparency", "depth", "further pages"})  # fmt: skip
HOLDS = {
    "JPEG": _ALL - {"texts", "transparency", "depth", "further pages"},
    "PNG": _ALL - {"further pages"},
    "WEBP": frozenset({"colour profile", "EXIF", "XMP", "transparency"}),
    "TIFF": _ALL - {"comment", "texts"},
    "BMP": frozenset({"resolution", "transparency"}),
    "HEIF": frozenset({"colour profile", "EXIF", "XMP", "transparency"}),
    "AVIF": frozenset({"colour profile", "EXIF", "XMP", "transparency"}),
    "JXL": frozenset({"EXIF", "XMP", "transparency", "depth"}),
}
"""What the files that are written here hold of a photo, by format."""
_PNG_FAST = 56  # libpng may choose from its filters none, sub and up


def encode(
    photo: Photo,
    *,
    format: str | None = None,
    quality: int = QUALITY,
    keep_gps: bool = False,
    further: Sequence[Photo] = (),
) -> bytes:
    """The photo as a file of `format` (default: that of its source), in TIFF with `further` pages.

    PNG and TIFF keep 16 bits, alpha and gray exactly. The others hold 8 bits a channel, rounded. `quality`,
    1 to 100, is that of JPEG, WebP, HEIF and AVIF; from 90 on, colour is not subsampled (WebP always
    subsamples). JPEG has no alpha: the photo is flattened on white. WebP has no gray. BMP keeps pixels,
    alpha and DPI only. ICC, EXIF (sizes put right) and XMP go along wherever the format holds them and they
    fit; what says where the photo was taken is left out of EXIF and XMP unless `keep_gps`.

    Raises UsageError for an unknown format or quality, SaveError when the format cannot hold the picture or
    this machine cannot write it.
    """
    format = format_named(format or photo.format)
    if not 1 <= quality <= 100:
        raise UsageError(f"quality must be 1 to 100, not {quality}")
    width, height = photo.size
    if max(width, height) > _MAX_SIDE.get(format, 1 << 31):
        raise SaveError(
            f"{format} holds at most {_MAX_SIDE[format]:,} pixels a side, the picture has {width}×{height}:"
            f" choose {'.tif' if max(width, height) > _MAX_SIDE['PNG'] else '.png or .tif'}"
        )
    pages = (_cleaned(one, format, keep_gps) for one in (photo, *further))
    try:
        return tiff.write_tiff(list(pages)) if format == "TIFF" else _WRITERS[format](next(pages), quality)
    except SaveError:
        raise
    except MemoryError as error:
        raise SaveError(f"not enough memory to write {width}×{height} pixels as {format}") from error
    except Exception as error:
        raise SaveError(
            f"the picture cannot be written as {format} ({error}): choose .png or .tif"
        ) from error


def save(
    photo: Photo,
    path: str | Path,
    *,
    quality: int = QUALITY,
    keep_gps: bool = False,
    like: Path | None = None,
) -> Path:
    """Write the photo to `path`, in the format of its extension, and return the path.

    Missing folders are made. Whatever goes wrong, the path holds either what it held before or the complete
    new file, which no account may read that may not read the file `like`. Which path is safe to write is the
    caller's decision (`output_paths` makes it for many photos).

    Raises UsageError for an extension that is no format, SaveError when it cannot be encoded or written.
    """
    path = Path(path)
    data = encode(photo, format=format_for(path), quality=quality, keep_gps=keep_gps)
    write_atomically(path, data, like=like)
    return path


def left_out(photo: Photo, format: str, further: Sequence[Photo] = ()) -> tuple[str, ...]:
    """What of a photo its file of `format` does not hold, in words."""
    parts: dict[str, object] = {
        "its colour profile": photo.icc if format != "JXL" or photo.gray else None,
        "its colour profile, converted to sRGB,": photo.icc if format == "JXL" and not photo.gray else None,
        "its colour profile of gray": photo.icc if format == "WEBP" and photo.gray else None,
        "its EXIF": photo.exif,
        "its XMP": photo.xmp,
        "its IPTC records": photo.iptc,
        "its comment": any(key == "Comment" for key, _ in photo.texts),
        "its texts": [key for key, _ in photo.texts if key != "Comment"],
        "its resolution": photo.dpi,
        "its transparency": photo.alpha is not None,
        "its depth": photo.pixels.dtype == np.uint16 and photo.format not in _TEN_BITS & {format},
        "its further pages": further,
    }
    return tuple(
        f"{name} cannot go into {format}"
        for name, part in parts.items()
        if part and name.removeprefix("its ") not in HOLDS[format]
    )


def _cleaned(photo: Photo, format: str, keep_gps: bool) -> Photo:
    """The photo with its metadata as they go into a file of this format."""
    gray = photo.gray and format != "WEBP"
    return replace(
        photo,
        icc=valid_icc(photo.icc, "GRAY" if gray else "RGB "),
        exif=exif_for(photo.exif, photo.size, keep_gps=keep_gps, orientation=format != "AVIF"),
        xmp=clean_xmp(photo.xmp, keep_gps=keep_gps, size=photo.size),
        iptc=clean_iptc(photo.iptc, keep_gps=keep_gps),
        texts=tuple((key, text) for key, text in photo.texts if keep_gps or "gps" not in key.lower()),
    )


def can_encode(format: str) -> bool:
    """Whether `encode` can write a format here; HEIF and AVIF depend on how their libraries were built."""
    if format == "HEIF":
        import pillow_heif

        return bool(pillow_heif.libheif_info()["HEIF"])
    if format == "AVIF":
        from PIL import AvifImagePlugin

        return bool(AvifImagePlugin.SUPPORTED)
    return format in EXTENSION


def _png(photo: Photo, quality: int) -> bytes:
    import imagecodecs

    # Measured on photographs: of Pillow's size at a third of its time, and without its copy of the pixels.
    data = bytes(imagecodecs.png_encode(_interleaved(photo), level=4, filter=_PNG_FAST))
    return png.with_metadata(data, photo)


def _jpeg(photo: Photo, quality: int) -> bytes:
    import imagecodecs

    # The same libjpeg as Pillow's and the same file, without Pillow's copy of four bytes a pixel.
    pixels = eight_bits(_interleaved(_flattened(photo)))
    data = imagecodecs.jpeg8_encode(pixels, level=quality, subsampling=_subsampling(quality))
    return jpeg.with_metadata(bytes(data), photo)


def _webp(photo: Photo, quality: int) -> bytes:
    return webp.with_metadata(_by_pillow(replace(photo, gray=False), "WEBP", quality=quality), photo)


def _heif(photo: Photo, quality: int) -> bytes:
    import pillow_heif

    array, mode = _interleaved(photo), {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
    channels = 1 if array.ndim == 2 else array.shape[2]
    deep = array.dtype == np.uint16  # written with 10 bits
    names = ("color_primaries", "transfer_characteristics")
    colours = {} if photo.cicp is None else dict(zip(names, photo.cicp, strict=True))
    buffer = io.BytesIO()
    pillow_heif.encode(
        mode[channels] + (";16" if deep else ""),
        photo.size,
        array.tobytes(),
        buffer,
        quality=quality,
        chroma=_subsampling(quality),
        exif=photo.exif,
        xmp=photo.xmp,
        icc_profile=None if colours else photo.icc,
        **colours,
    )
    return buffer.getvalue()


def _avif(photo: Photo, quality: int) -> bytes:
    gray = photo.gray and photo.alpha is None  # Pillow's has no LA
    chroma = "4:0:0" if gray else ":".join(_subsampling(quality))
    said = {"icc_profile": photo.icc or b"", "exif": photo.exif or b"", "xmp": photo.xmp or b""}
    return _by_pillow(replace(photo, gray=gray), "AVIF", quality=quality, subsampling=chroma, **said)


def _jxl(photo: Photo, quality: int) -> bytes:
    import imagecodecs

    array = _interleaved(photo)
    if photo.icc and not photo.gray:  # imagecodecs writes no profile
        colour = imagecodecs.cms_transform(
            photo.pixels,
            photo.icc,
            imagecodecs.cms_profile("srgb"),
            colorspace="rgb",
            outcolorspace="rgb",
            intent=1,  # relative colorimetric
        )
        array = _interleaved(replace(photo, pixels=colour))
    data = bytes(imagecodecs.jpegxl_encode(array, level=quality, usecontainer=True))
    return boxes.jxl_with_metadata(data, photo)


def _bmp(photo: Photo, quality: int) -> bytes:
    if photo.alpha is None:
        return _by_pillow(photo, "BMP", dpi=photo.dpi or (0, 0))
    # Pillow writes the old header, whose fourth byte readers ignore; version 4 states an alpha mask.
    width, height = photo.size
    colour, alpha = eight_bits(photo.pixels), eight_bits(photo.alpha)
    bgra = np.dstack([colour[::-1, :, ::-1], alpha[::-1]])
    dpi = [round(v / 0.0254) for v in photo.dpi or (0, 0)]
    masks = (0x00FF0000, 0x0000FF00, 0x000000FF, 0xFF000000)
    info = struct.pack(
        "<IiiHHIIiiII4I4s", 108, width, height, 1, 32, 3, bgra.nbytes, *dpi, 0, 0, *masks, b"BGRs"
    )
    info = info.ljust(108, b"\0")
    head = struct.pack("<2sIHHI", b"BM", 14 + len(info) + bgra.nbytes, 0, 0, 14 + len(info))
    return b"".join([head, info, bgra.tobytes()])


_WRITERS: dict[str, Callable[[Photo, int], bytes]] = {
    "JPEG": _jpeg, "PNG": _png, "WEBP": _webp, "BMP": _bmp, "HEIF": _heif, "AVIF": _avif, "JXL": _jxl,
}  # fmt: skip


def _by_pillow(photo: Photo, format: str, **how: Any) -> bytes:
    buffer = io.BytesIO()
    to_pillow(photo).save(buffer, format, **how)
    return buffer.getvalue()


def _subsampling(quality: int) -> str:
    return "444" if quality >= _FULL_CHROMA_QUALITY else "420"


def to_pillow(photo: Photo) -> Image.Image:
    """The photo as an 8-bit Pillow image of mode L, LA, RGB or RGBA."""
    return Image.fromarray(eight_bits(_interleaved(photo)))


def _interleaved(photo: Photo) -> np.ndarray:
    array = photo.colour if photo.alpha is None else np.dstack([photo.colour, photo.alpha])
    # libpng's wrapper looks at strides, and those of a side of one pixel may be anything until flattened
    return np.ascontiguousarray(array).ravel().reshape(array.shape)


def _flattened(photo: Photo) -> Photo:
    """Alpha composited on white."""
    if photo.alpha is None:
        return photo
    top = np.iinfo(photo.pixels.dtype).max

    def on_white(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
        alpha = alpha[..., None].astype(np.uint64)
        return np.asarray((colour.astype(np.uint64) * alpha + top * (top - alpha) + top // 2) // top)

    pixels = in_bands(on_white, photo.pixels.dtype, photo.pixels, photo.alpha)
    return replace(photo, pixels=pixels, alpha=None)
