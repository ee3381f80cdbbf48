"""Bytes to planes, in whichever process this runs: the one place where a decoder touches a user's file."""

from __future__ import annotations

import importlib
import io
from dataclasses import dataclass
from typing import Any

from PIL import ExifTags, Image, TiffImagePlugin, UnidentifiedImageError

from revisage.errors import PhotoError, PhotoTooLargeError, UnsupportedFormatError
from revisage.image import deep
from revisage.image.containers import declared_size, png, tiff
from revisage.image.formats import HEAD_BYTES, NAMES, sniff
from revisage.image.metadata import clean_exif, clean_xmp, load_metadata_readers, valid_dpi
from revisage.image.planes import Planes, oriented, planes_from_pillow

# Only the plugin that is needed is imported: Image.init() would load all of Pillow's forty formats.
PLUGINS = {
    "JPEG": ("PIL.JpegImagePlugin", "PIL.MpoImagePlugin"),
    "PNG": ("PIL.PngImagePlugin", "imagecodecs"),
    "WEBP": ("PIL.WebPImagePlugin",),
    "TIFF": ("PIL.TiffImagePlugin", "imagecodecs"),
    "BMP": ("PIL.BmpImagePlugin",),
    "HEIF": ("pillow_heif",),
    "AVIF": ("PIL.AvifImagePlugin",),
}

_WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC, _ORIENTATION = 256, 257, 258, 262, 274
_SAMPLES, _PLANAR, _EXTRA, _SAMPLE_FORMAT = 277, 284, 338, 339
_SUBFILE, _DNG_VERSION, _XMP, _ICC = 254, 50706, 700, 34675


@dataclass(frozen=True, eq=False)
class Decoded:
    """Everything of a Photo, with a gray picture still as one channel (that is what crosses the pipe)."""

    planes: Planes
    exif: bytes | None
    xmp: bytes | None
    dpi: tuple[float, float] | None
    format: str


def read(data: bytes, max_pixels: int) -> Decoded:
    """Decode the first picture of a file.

    Raises UnsupportedFormatError for a format outside the allow-list, PhotoTooLargeError above `max_pixels`
    or when memory runs out, PhotoError for whatever else the decoders raise.
    """
    format = checked_format(data)
    declared = declared_size(data[:HEAD_BYTES], format)
    if declared is not None:
        check_pixels(declared, max_pixels)
    try:
        if format == "TIFF":
            return _read_tiff(data, max_pixels)
        return _read_pillow(data, format, max_pixels)
    except PhotoError:
        raise
    except (MemoryError, Image.DecompressionBombError) as error:
        raise PhotoTooLargeError(
            "it needs more memory to decode than the limit allows: reduce it first"
        ) from error
    except UnidentifiedImageError as error:  # whose own text is the address of a buffer
        raise PhotoError(
            f"it is damaged: it begins like a {format} file but does not go on like one"
        ) from error
    except Exception as error:
        raise PhotoError(f"it is damaged or not a valid {format} file ({one_line(error)})") from error


def checked_format(data: bytes) -> str:
    """The format of a file by its first bytes. Raises PhotoError when empty, UnsupportedFormatError."""
    if not data:
        raise PhotoError("the file is empty")
    format = sniff(data[:HEAD_BYTES])
    if format is None:
        raise UnsupportedFormatError(f"it is not a {NAMES} picture: convert it to one of these first")
    return format


def check_pixels(size: tuple[int, int], max_pixels: int) -> None:
    """Raises PhotoTooLargeError above the limit, PhotoError when a side is not positive."""
    width, height = size
    if width < 1 or height < 1:
        raise PhotoError(f"its header gives an impossible size of {width}×{height} pixels")
    if width * height > max_pixels:
        raise PhotoTooLargeError(
            f"it has {width}×{height} pixels, more than the limit of {max_pixels:,}:"
            " raise the limit (--max-pixels) or reduce the photo"
        )


def one_line(error: BaseException | str, length: int = 160) -> str:
    """What an exception says, on one printable line of at most `length` characters."""
    text = " ".join(str(error).split())
    if text in ("", "None"):
        text = type(error).__name__
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= length else text[: length - 1] + "…"


def load_plugins(format: str) -> None:
    """Import what decoding (or encoding) a format needs.

    The worker does so before it forks: a fork can open no file, so what is not here by then is missing.
    """
    for name in PLUGINS[format]:
        module: Any = importlib.import_module(name)
        if name == "pillow_heif":
            module.register_heif_opener(thumbnails=False)
        elif name == "imagecodecs":  # imports its codecs when they are asked for
            getattr(module, f"{format.lower()}_decode")
    Image.preinit()
    load_metadata_readers()


def _read_pillow(data: bytes, format: str, max_pixels: int) -> Decoded:
    load_plugins(format)
    with Image.open(io.BytesIO(data), formats=(format,)) as image:
        check_pixels(image.size, max_pixels)
        wide = format == "PNG" and png.is_deep(data[:HEAD_BYTES])
        if not wide or png.has_trailing_metadata(data):
            _load(image)  # before the metadata: a PNG may have some behind its pixels
        exif, orientation = exif_and_orientation(image, format)
        xmp, dpi = xmp_of(image), valid_dpi(image.info.get("dpi"))
        if wide:
            planes = deep.read_png(data, image.info.get("icc_profile"))
        else:
            planes = planes_from_pillow(image, sample_bits=data[24] if format == "PNG" else 8)
    return Decoded(oriented(planes, orientation), exif, xmp, dpi, format)


def _load(image: Image.Image) -> None:
    try:
        image.load()
    except Exception:
        if image.format != "PNG":
            raise
        # Pillow reads a PNG's last chunks after the pixels. When only those are broken the picture is whole,
        # and loading again is a matter of nothing; when pixels are missing it fails again.
        image.load()


def exif_and_orientation(image: Image.Image, format: str) -> tuple[bytes | None, int]:
    """The cleaned EXIF block, and the orientation still to be applied to the pixels."""
    try:
        raw = image.info.get("exif")
        if format == "AVIF":
            # Pillow puts AVIF's irot and imir there. Its fallback on XMP is not for this format: readers of
            # HEIF's family take the orientation from the container alone (ISO/IEC 23008-12, 6.5.10).
            parsed = Image.Exif()
            parsed.load(raw or b"")
        else:
            parsed = image.getexif()
        if raw is None and "Raw profile type exif" in image.info:  # PNG before eXIf
            raw = parsed.tobytes()
        orientation = parsed.get(ExifTags.Base.Orientation, 1)
        exif = clean_exif(raw if isinstance(raw, bytes) else None)
    except Exception:  # broken EXIF never costs the picture
        return None, 1
    if format == "HEIF" or not isinstance(orientation, int):
        orientation = 1  # libheif has turned the pixels already
    return exif, orientation


def xmp_of(image: Image.Image) -> bytes | None:
    """The cleaned XMP packet, wherever Pillow keeps it."""
    raw = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
    if isinstance(raw, str):
        raw = raw.encode("utf-8", "replace")
    return clean_xmp(raw) if isinstance(raw, bytes) else None


def _read_tiff(data: bytes, max_pixels: int) -> Decoded:
    load_plugins("TIFF")
    tags, offset = _tiff_tags(data)
    if _DNG_VERSION in tags or data[8:10] == b"CR" or int(tags.get(_SUBFILE, 0)) & 1:
        raise UnsupportedFormatError(
            "its first picture is only a preview, as in camera raw files:"
            " develop it to JPEG, PNG or TIFF first"
        )
    layout = _layout(tags)
    check_pixels(layout.size, max_pixels)
    exif = _tiff_exif(data, offset)
    xmp = tags.get(_XMP)
    dpi = _tiff_dpi(tags)
    if layout.deep:
        icc = tags.get(_ICC)
        planes = deep.read_tiff(data, layout, icc if isinstance(icc, bytes) else None)
        orientation = tags.get(_ORIENTATION, 1)
        planes = oriented(planes, orientation if isinstance(orientation, int) else 1)
    else:
        with Image.open(io.BytesIO(data), formats=("TIFF",)) as image:
            check_pixels(image.size, max_pixels)
            image.load()  # turns it upright as well
            planes = planes_from_pillow(image)
    return Decoded(planes, clean_exif(exif), clean_xmp(xmp if isinstance(xmp, bytes) else None), dpi, "TIFF")


def _tiff_tags(data: bytes) -> tuple[Any, int]:
    # Pillow's own table reader, used directly: Image.open refuses layouts that libtiff can read.
    header = data[:16] if b"+" in data[2:4] else data[:8]  # BigTIFF's header is longer
    tags = TiffImagePlugin.ImageFileDirectory_v2(header)
    offset = tags.next
    assert isinstance(offset, int)
    stream = io.BytesIO(data)
    stream.seek(offset)
    tags.load(stream)
    return tags, offset


def _layout(tags: Any) -> deep.TiffLayout:
    def several(tag: int, default: tuple[int, ...]) -> tuple[int, ...]:
        value = tags.get(tag, default)
        return value if isinstance(value, tuple) else (value,)

    samples = int(tags.get(_SAMPLES, 1))
    bits = several(_BITS, (1,))
    return deep.TiffLayout(
        bits=bits * samples if len(bits) == 1 and samples < 16 else bits,
        photometric=int(tags.get(_PHOTOMETRIC, 1)),
        sample_format=several(_SAMPLE_FORMAT, (1,)),
        extra=several(_EXTRA, ()),
        planar=int(tags.get(_PLANAR, 1)),
        size=(int(tags.get(_WIDTH, 0)), int(tags.get(_HEIGHT, 0))),
    )


def _tiff_dpi(tags: Any) -> tuple[float, float] | None:
    per_inch = {2: 1.0, 3: 2.54}.get(tags.get(296, 2))
    found = valid_dpi((tags.get(282), tags.get(283)))
    return None if per_inch is None or found is None else (found[0] * per_inch, found[1] * per_inch)


def _tiff_exif(data: bytes, offset: int) -> bytes | None:
    try:
        return tiff.exif_of(data, offset)
    except Exception:  # broken tags never cost the picture
        return None
