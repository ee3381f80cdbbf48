"""The allowed formats: told apart by their first bytes, never by the name of the file."""

from __future__ import annotations

import struct
from pathlib import PurePath

from revisage.errors import UsageError

FORMAT_OF_EXTENSION = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
    ".dib": "BMP",
    ".heic": "HEIF",
    ".heif": "HEIF",
    ".hif": "HEIF",
    ".avif": "AVIF",
    ".gif": "GIF",
}

EXTENSION = {
    "JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "TIFF": ".tif", "BMP": ".bmp", "HEIF": ".heic",
    "AVIF": ".avif",
}  # fmt: skip
"""The usual extension of each format that is written."""

NAMES = "JPEG, PNG, WebP, TIFF, BMP, HEIC or AVIF"

HEAD_BYTES = 64  # enough for `sniff` and `declared_size`

_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_MAGIC = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"BM": "BMP",
    b"GIF8": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",  # BigTIFF
    b"MM\0+": "TIFF",
}


def format_of(path: PurePath) -> str | None:
    """The format that a file name's extension stands for; None when it is none of ours."""
    return FORMAT_OF_EXTENSION.get(path.suffix.lower())


def format_for(path: PurePath) -> str:
    """The format that a file of this name is written in. Raises UsageError where its extension is none."""
    format = format_of(path)
    if format is None:
        raise UsageError(f"cannot tell the format of {path.name!r}: end it with the extension of {NAMES}")
    return format


def sniff(head: bytes) -> str | None:
    """The format that the first `HEAD_BYTES` bytes of a file announce; None when it is not an allowed one."""
    for magic, format in _MAGIC.items():
        if head.startswith(magic):
            return format
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    return _isobmff(head) if head[4:8] == b"ftyp" else None


def _isobmff(head: bytes) -> str | None:
    # A ftyp box: length, "ftyp", major brand, version, then compatible brands up to the box's length.
    end = min(struct.unpack(">I", head[:4])[0], len(head))
    brands = [head[8:12], *(head[i : i + 4] for i in range(16, end - 3, 4))]
    if b"avif" in brands or b"avis" in brands:
        return "AVIF"
    return "HEIF" if _HEIF_BRANDS.intersection(brands) else None
