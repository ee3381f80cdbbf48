"""JPEG segments: metadata put into an encoded file without touching its pixels (JFIF 1.02, T.81 B.1)."""

from __future__ import annotations

import struct

_AFTER_JFIF = 20  # SOI, then APP0 with the JFIF header, which libjpeg writes first
_DENSITY = 13  # unit, and horizontal and vertical density, in that header
_APP1, _APP2 = 0xE1, 0xE2
_MAX_SEGMENT = 65_533  # bytes of payload
_XMP_NAME = b"http://ns.adobe.com/xap/1.0/\0"
_ICC_NAME = b"ICC_PROFILE\0"


def with_metadata(
    jpeg: bytes,
    *,
    icc: bytes | None,
    exif: bytes | None,
    xmp: bytes | None,
    dpi: tuple[float, float] | None,
) -> bytes:
    """The file with its density, EXIF, XMP and ICC segments right behind the JFIF header.

    EXIF or XMP that is too long for a segment is left out; a profile is spread over several (ICC.1, B.4).
    """
    assert jpeg[2:11] == b"\xff\xe0\0\x10JFIF\0", jpeg[:11]
    head = bytearray(jpeg[:_AFTER_JFIF])
    if dpi:
        struct.pack_into(">BHH", head, _DENSITY, 1, *(min(round(v), 65_535) for v in dpi))
    segments = []
    if exif and len(exif) <= _MAX_SEGMENT:
        segments.append(_segment(_APP1, exif))
    if xmp and len(_XMP_NAME) + len(xmp) <= _MAX_SEGMENT:
        segments.append(_segment(_APP1, _XMP_NAME + xmp))
    size = _MAX_SEGMENT - len(_ICC_NAME) - 2
    parts = [icc[start : start + size] for start in range(0, len(icc or b""), size)] if icc else []
    for number, part in enumerate(parts, 1):
        segments.append(_segment(_APP2, _ICC_NAME + bytes([number, len(parts)]) + part))
    return b"".join([head, *segments, memoryview(jpeg)[_AFTER_JFIF:]])


def _segment(marker: int, payload: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload
