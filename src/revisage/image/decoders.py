"""Bytes to planes, in whichever process this runs: the one place where a decoder touches a user's file."""

import contextlib
import importlib
import io
import re
import struct
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

from revisage.errors import DamagedError, PhotoError, PhotoTooLargeError, UnsupportedFormatError, one_line
from revisage.image import colour, deep
from revisage.image.containers import boxes, declared_size, jpeg, png
from revisage.image.formats import HEAD_BYTES, READ_NAMES, sniff
from revisage.image.iptc import clean_iptc
from revisage.image.metadata import clean_exif, valid_dpi
from revisage.image.planes import Planes, check_page, check_pixels, oriented, planes_from_pillow, share_there
from revisage.image.tiff_decode import RawError, exif_of_tiff, read_tiff
from revisage.image.xmp import clean_xmp

# Only the plugin that is needed is imported: Image.init() would load all of Pillow's forty formats.
PLUGINS = {
    "JPEG": ("PIL.JpegImagePlugin", "PIL.MpoImagePlugin"),
    "PNG": ("PIL.PngImagePlugin", "imagecodecs:png_decode", "imagecodecs:cms_profile"),
    "WEBP": ("PIL.WebPImagePlugin",),
    "TIFF": ("PIL.TiffImagePlugin", "imagecodecs:tiff_decode", "imagecodecs:cms_profile"),
    "BMP": ("PIL.BmpImagePlugin",),
    "GIF": ("PIL.GifImagePlugin",),
    "HEIF": ("pillow_heif", "imagecodecs:cms_profile"),
    "AVIF": ("PIL.AvifImagePlugin", "imagecodecs:avif_decode", "imagecodecs:cms_profile"),
    "JXL": ("pillow_jxl", "imagecodecs:jpegxl_decode", "imagecodecs:brotli_decode"),
    "JPEG2000": ("PIL.Jpeg2KImagePlugin", "imagecodecs:jpeg2k_decode"),
    "RAW": ("rawpy", "PIL.JpegImagePlugin", "PIL.MpoImagePlugin"),
}

_WHOLE_PREVIEW = 0.9  #: share of a raw picture's long side from which on its preview is taken for it
_NOTHING = 32  #: bytes of metadata up to which none is missed: headers without content
_LEAST = 0.01  #: share of a damaged picture below which nothing is restored
_UNREAD, _UNREAD_ROWS = 128, 16  #: gray of what libjpeg could not read, and the rows that it reads at once
_ATTACHMENTS = {
    rb"hdrgm:Version|aux:hdrgainmap|urn:iso:std:iso:ts:21496": "its gain map for HDR screens",
    rb"ftyp(?:mp4|isom|iso\d|qt  |avc|3gp|MSNV)": "the film in it (motion photo)",
    rb"urn:mpeg:hevc:2015:auxid:2|GDepth:(?:Data|Format)": "its depth map",
}
"""What a file of any format holds beside its picture and no result takes along: told by its marks."""


def read(data: bytes, max_pixels: int, *, page: int = 0, damaged: bool | None = None) -> Planes:
    """Decode a picture of a file, counted from 0; of a `damaged` one what is there. Raises
    UnsupportedFormatError for a format outside the allow-list, PhotoTooLargeError above `max_pixels` or when
    memory runs out, DamagedError where `damaged` would help, PhotoError for whatever else the decoders
    raise."""
    format = checked_format(data[:HEAD_BYTES], max_pixels)
    try:
        found = _read(data, format, max_pixels, page)
    except PhotoError:
        raise
    except (MemoryError, Image.DecompressionBombError) as error:
        raise PhotoTooLargeError(
            "it needs more memory to decode than the limit allows: reduce it first"
        ) from error
    except Exception as error:
        whole = format == "PNG" and not page and png.has_whole_pixels(data)
        part = _what_is_there(data, format, max_pixels, page, partly=not whole)
        if part is None:
            raise _damage(error, data, format) from error
        share = f"about {part.there:.0%}" if part.there < 0.995 else "nearly all"
        coarse = format == "PNG" and bool(data[28])  # interlaced: its first part is of all rows
        sure = part.there < 0.995 and not coarse
        wrong = "" if sure else ", though parts may be wrong"
        if not damaged and not whole:
            how = "" if damaged is None else "; `--damaged` takes that"
            raise DamagedError(f"it is damaged: {share} of the picture is there{wrong}{how}") from error
        told = "metadata of it are damaged" if whole else f"damaged: {share} of it is there{wrong}"
        found = replace(part, notes=(*part.notes, told))
    left = (f"{name} is left out" for mark, name in _ATTACHMENTS.items() if re.search(mark, data))
    return replace(found, notes=(*found.notes, *left))


def _read(data: bytes, format: str, max_pixels: int, page: int, *, partly: bool = False) -> Planes:
    if format == "RAW":
        return _read_raw(data, max_pixels)
    load_plugins(format)
    if format == "TIFF":
        try:
            return read_tiff(data, max_pixels, page, partly=partly)
        except RawError:
            raw, exif = _read_raw(data, max_pixels), exif_of_tiff(data)
            return replace(raw, exif=raw.exif or exif)
    return _read_pillow(data, format, max_pixels, page, partly=partly)


def _what_is_there(data: bytes, format: str, max_pixels: int, page: int, *, partly: bool) -> Planes | None:
    """The picture of a file that ends early or breaks off, as far as it goes; None for next to nothing."""
    before, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, True
    try:
        found = _read(data, format, max_pixels, page, partly=partly)
    except Exception:
        return None
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before
    return found if found.there >= _LEAST else None


def _damage(error: Exception, data: bytes, format: str) -> PhotoError:
    if format == "WEBP" and int.from_bytes(data[4:8], "little") > len(data) - 8:
        return PhotoError("it is damaged: it ends early, and WebP is read whole or not at all")
    if isinstance(error, UnidentifiedImageError):  # whose own text is the address of a buffer
        return PhotoError(f"it is damaged: it begins like a {format} file but does not go on like one")
    return PhotoError(f"it is damaged or not a valid {format} file ({one_line(error)})")


def checked_format(head: bytes, max_pixels: int) -> str:
    """The format by a file's first `HEAD_BYTES` bytes. Raises PhotoError and its kinds for what they tell."""
    if not head:
        raise PhotoError("the file is empty")
    format = sniff(head)
    if format is None and head.startswith((b"PK\3\4", b"%PDF")):
        raise UnsupportedFormatError("it is an archive or a document: take the photos out of it first")
    if format is None and (head[4:8] == b"ftyp" or head.startswith(b"\x1aE\xdf\xa3")):  # MP4, Matroska
        raise UnsupportedFormatError("it is no picture; if it is a film, restore it with --video")
    if format is None:
        raise UnsupportedFormatError(f"it is not a {READ_NAMES} picture: convert it to one of these first")
    if (declared := declared_size(head, format)) is not None:
        check_pixels(declared, max_pixels)
    return format


def load_plugins(format: str) -> None:
    """Import what a format and its metadata need, before the worker forks: a fork can open no file."""
    for plugin in (*PLUGINS[format], "xml.dom.expatbuilder", "encodings.utf_8_sig", "encodings.utf_16"):
        name, _, codec = plugin.partition(":")
        module: Any = importlib.import_module(name)
        if name == "pillow_heif":
            module.register_heif_opener(thumbnails=False)
        elif codec:  # imported when it is asked for
            getattr(module, codec)
    Image.preinit()


def _read_pillow(data: bytes, format: str, max_pixels: int, page: int, *, partly: bool) -> Planes:
    there = 1.0
    with Image.open(io.BytesIO(data), formats=(format,)) as image:
        jxl = format == "JXL"  # of which Pillow's plugin sees the first picture only
        pages = deep.jxl_pages(data) if jxl else _pages(image)
        check_page(page, pages)
        first = image.tell()  # of HEIF the primary picture, which need not be the first
        if page and not jxl:
            image.seek([n for n in range(pages) if n != first][page - 1])
        check_pixels(image.size, max_pixels)
        bits = deep.BITS[format](data) if format in deep.BITS else int(image.info.get("bit_depth", 8))
        wide = not partly and (jxl or not page) and bits > 8
        if not wide or (format == "PNG" and png.has_trailing_metadata(data)):
            _load(image, data)  # before the metadata: a PNG may have some behind its pixels
        exif, orientation = exif_and_orientation(image, format)
        dpi = dpi_of(image)
        raw_xmp, raw_iptc, texts = _words(image, data, format)
        if format in _BOXED:
            held = boxes.read_metadata(data)
            exif, raw_xmp, raw_iptc = clean_exif(held.exif), held.xmp, held.iptc
            orientation = 1  # the codestream's own, which is applied
            image.info.setdefault("icc_profile", held.icc)
        xmp = clean_xmp(raw_xmp, orientation=orientation, stored=image.size)
        iptc = clean_iptc(raw_iptc, keep_gps=True)
        notes = [
            f"its {name} cannot be read and is left out"
            for name, raw, kept in (("EXIF", image.info.get("exif"), exif), ("XMP", raw_xmp, xmp))
            if raw and len(raw) > _NOTHING and kept is None
        ]
        if format == "GIF" and not _is_whole_gif(data):
            notes.append("damaged: it ends early, and some of its pictures may be missing")
        if wide:
            planes = deep.read(data, format, bits, image.info.get("icc_profile"), page)
        else:
            planes = planes_from_pillow(image, sample_bits=data[24] if format == "PNG" else 8)
        if partly:
            there = share_there(planes.colour[::-1] if format == "BMP" else planes.colour)  # from below
            if format == "PNG" and bits > 8 and planes.colour.dtype == np.uint8:
                notes.append("read in 8 of its 16 bits")
        elif format == "JPEG" and (planes.colour[-1, -1] == _UNREAD).all():
            end = 1 - share_there(planes.colour)
            told = f"its lowest {end:.0%} are plain gray, as where a damaged file breaks off"
            notes += [told] if _UNREAD_ROWS <= end * len(planes.colour) < len(planes.colour) else []
        stated = _stated(image, data, format)
    planes = replace(
        planes,
        exif=exif,
        xmp=xmp,
        iptc=iptc,
        texts=texts,
        dpi=dpi,
        format=format,
        orientation=orientation,
        pages=pages,
        there=there,
        notes=(*planes.notes, *notes),
    )
    return oriented(planes if stated is None else colour.apply(planes, stated), orientation)


_BOXED = ("JXL", "JPEG2000")


def _stated(image: Image.Image, data: bytes, format: str) -> colour.Stated | None:
    """The colours where no ICC profile states them; None where nothing but sRGB does."""
    if format == "PNG":
        kind, values = png.stated_colours(data) or ("sRGB", ())
        if kind == "cICP":
            return colour.of_code_points(int(values[0]), int(values[1]))
        return colour.of_gamma(values[0], *([values[1:]] if values[1:] else [])) if kind == "gAMA" else None
    if image.info.get("icc_profile"):
        return None
    if format == "HEIF" and (nclx := image.info.get("nclx_profile")):
        return colour.of_code_points(nclx["color_primaries"], nclx["transfer_characteristics"])
    at = data.find(b"colrnclx") + 8 if format == "AVIF" else 7
    return colour.of_code_points(*struct.unpack_from(">HH", data, at)) if 7 < at <= len(data) - 4 else None


def _words(
    image: Image.Image, data: bytes, format: str
) -> tuple[bytes | None, bytes | None, tuple[tuple[str, str], ...]]:
    """The XMP packet, the IPTC records and the texts of a file, not yet cleaned."""
    xmp = xmp_of(image)
    if format == "JPEG":
        with contextlib.suppress(ValueError):  # of a damaged one Pillow may have found some
            iptc, comments = jpeg.read_words(data)
            return jpeg.read_xmp(data), iptc, tuple(("Comment", comment) for comment in comments)
    if format == "PNG":
        texts: dict[str, str] = {}
        with contextlib.suppress(AssertionError):  # Pillow's, where a chunk behind the pixels is broken
            texts = image.text  # type: ignore[attr-defined]
        iptc, words = png.read_words(texts)
        return xmp, iptc, tuple(words)
    comment = image.info.get("comment")
    return xmp, None, (("Comment", jpeg.words(comment)),) if isinstance(comment, bytes) and comment else ()


def _read_raw(data: bytes, max_pixels: int) -> Planes:
    """The preview that the camera made, where it is as large as the picture, else what LibRaw develops."""
    try:
        load_plugins("RAW")
    except ImportError as error:
        raise UnsupportedFormatError(
            'it is camera raw: `pip install "revisage[raw]"` to read it, or develop it to JPEG or TIFF first'
        ) from error
    import rawpy

    try:
        opened = rawpy.imread(io.BytesIO(data))
    except rawpy.LibRawFileUnsupportedError as error:
        raise UnsupportedFormatError(
            "it is camera raw of a kind that LibRaw does not read: develop it to JPEG or TIFF first"
        ) from error
    with opened as raw:
        size = raw.sizes.width, raw.sizes.height
        check_pixels(size, max_pixels)
        with contextlib.suppress(rawpy.LibRawError):
            preview = raw.extract_thumb()
            if preview.format == rawpy.ThumbFormat.JPEG:
                found = _read_pillow(bytes(preview.data), "JPEG", max_pixels, 0, partly=False)
                if max(found.colour.shape[:2]) >= _WHOLE_PREVIEW * max(size):
                    note = "camera raw: the preview in it was read"
                    return replace(found, format="RAW", notes=(*found.notes, note))
        srgb = {"gamma": (2.4, 12.92), "output_bps": 16, "use_camera_wb": True}
        note = "camera raw: it was developed by LibRaw"
        return Planes(raw.postprocess(**srgb), format="RAW", notes=(note,))


def _pages(image: Image.Image) -> int:
    """Pictures of equal rank in a file; of a JPEG's, previews and gain maps are none."""
    try:
        count = int(getattr(image, "n_frames", 1))
        entries = (getattr(image, "mpinfo", None) or {}).get(0xB002)
    except Exception:  # a broken end costs the pictures there, not the first
        return 1
    if entries is None:
        return count
    kinds = [str(entry["Attribute"]["MPType"]) for entry in entries[1:]]
    return 1 + sum(kind.startswith("Multi-Frame") for kind in kinds[: count - 1])


def _is_whole_gif(data: bytes) -> bool:
    """Whether it ends on the trailer (GIF89a, 27), or its blocks lead there; more may follow that."""
    if data[-32:].rstrip(b"\0\r\n").endswith(b";"):
        return True

    def table(flags: int) -> int:
        return 3 << 1 + flags % 8 if flags & 0x80 else 0

    try:
        at = 13 + table(data[10])
        while data[at] in b"!,":
            at += 2 if data[at] == ord("!") else 11 + table(data[at + 9])
            while data[at]:
                at += 1 + data[at]
            at += 1
        return data[at] == ord(";")
    except IndexError:
        return False


def _load(image: Image.Image, data: bytes) -> None:
    try:
        image.load()
    except Exception:
        # Pillow reads a PNG's last chunks after the pixels. When only those are broken the picture is whole.
        if image.format != "PNG" or image.tell() or not png.has_whole_pixels(data):
            raise
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


def dpi_of(image: Image.Image) -> tuple[float, float] | None:
    """The stated resolution. Of a JPEG with EXIF that states none, or no unit, Pillow says 72."""
    if image.format not in ("JPEG", "MPO") or image.info.get("jfif_unit", 0):
        return valid_dpi(image.info.get("dpi"))
    exif, (x, y) = image.getexif(), (ExifTags.Base.XResolution, ExifTags.Base.YResolution)
    if x in exif and ExifTags.Base.ResolutionUnit in exif:
        return valid_dpi(image.info.get("dpi"))
    return valid_dpi((exif.get(x), exif.get(y, exif.get(x))))  # of an inch


def xmp_of(image: Image.Image) -> bytes | None:
    """The XMP packet, wherever Pillow keeps it."""
    raw = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
    if isinstance(raw, str):
        raw = raw.encode("utf-8", "replace")
    return raw if isinstance(raw, bytes) else None
