"""The allowed formats: told apart by their first bytes, never by the name of the file."""

import struct
from pathlib import PurePath

from revisage.errors import UsageError

_EXTENSIONS = {
    "JPEG": ".jpg .jpeg .jpe .jfif", "PNG": ".png", "WEBP": ".webp", "TIFF": ".tif .tiff", "BMP": ".bmp .dib",
    "HEIF": ".heic .heif .hif", "AVIF": ".avif", "GIF": ".gif", "JXL": ".jxl",
    "JPEG2000": ".jp2 .j2k .jpx .jpf .j2c",
    "RAW": ".dng .cr2 .cr3 .nef .arw .raf .orf .rw2 .pef .srw .x3f",
}  # fmt: skip
FORMAT_OF_EXTENSION = {one: format for format, names in _EXTENSIONS.items() for one in names.split()}

_READ_ONLY = {"GIF", "JPEG2000", "RAW"}
#: The usual extension of each format that is written.
EXTENSION = {format: names.split()[0] for format, names in _EXTENSIONS.items() if format not in _READ_ONLY}
LOSSLESS = frozenset({"PNG", "TIFF", "BMP"})

NAMES = "JPEG, PNG, WebP, TIFF, BMP, HEIC, AVIF or JPEG XL"  #: of the formats that are written
#: Of the formats that are read.
READ_NAMES = "JPEG, PNG, WebP, TIFF, BMP, HEIC, AVIF, JPEG XL, JPEG 2000, GIF or camera raw"

HEAD_BYTES = 64  # enough for `sniff` and `declared_size`

_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_MAGIC = {
    b"\xff\xd8\xff": "JPEG", b"\x89PNG\r\n\x1a\n": "PNG", b"BM": "BMP", b"GIF8": "GIF",
    b"\xff\x0a": "JXL", b"\0\0\0\x0cJXL ": "JXL",
    b"\0\0\0\x0cjP  ": "JPEG2000", b"\xff\x4f\xff\x51": "JPEG2000",
    # Camera raw: Fujifilm, Olympus, Panasonic, Sigma, Canon; most others are TIFF.
    **dict.fromkeys((b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FOVb"), "RAW"),
    **dict.fromkeys((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), "TIFF"),  # the last two: BigTIFF
}  # fmt: skip


def format_of(path: PurePath) -> str | None:
    """The format that a file name's extension stands for; None when it is none of ours."""
    return FORMAT_OF_EXTENSION.get(path.suffix.lower())


def format_for(path: PurePath) -> str:
    """The format that a file of this name is written in. Raises UsageError where its extension is none."""
    format = format_of(path)
    if format is None:
        raise UsageError(f"cannot tell the format of {path.name!r}: end it with the extension of {NAMES}")
    return format


def format_named(name: str) -> str:
    """The format that is called "heic", "HEIF" or "JPEG XL". Raises UsageError."""
    format = FORMAT_OF_EXTENSION.get(f".{name.lower().replace('jpeg xl', 'jxl')}", "")
    if format not in EXTENSION:
        raise UsageError(f"cannot write the format {name!r}: choose one of {NAMES}")
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
    if b"crx " in brands:
        return "RAW"
    if b"avif" in brands or b"avis" in brands:
        return "AVIF"
    return "HEIF" if _HEIF_BRANDS.intersection(brands) else None
