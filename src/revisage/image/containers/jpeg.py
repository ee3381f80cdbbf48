"""JPEG segments: metadata in an encoded file, its pixels untouched (JFIF 1.02, T.81 B.1, XMP part 3)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from revisage.image.containers.ifd import EXIF_PREFIX

_AFTER_JFIF = 20  # SOI, then APP0 with the JFIF header, which libjpeg writes first
_DENSITY = 13  # unit, and horizontal and vertical density, in that header
_APP0, _APP1, _APP2, _START_OF_SCAN, _END = 0xE0, 0xE1, 0xE2, 0xDA, 0xD9
_MAX_SEGMENT = 65_533  # bytes of payload
_XMP_NAME = b"http://ns.adobe.com/xap/1.0/\0"
_ICC_NAME = b"ICC_PROFILE\0"

MAX_XMP = _MAX_SEGMENT - len(_XMP_NAME)
"""Bytes of the longest packet that a segment holds."""


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
    if xmp and len(xmp) <= MAX_XMP:
        segments.append(_segment(_APP1, _XMP_NAME + xmp))
    size = _MAX_SEGMENT - len(_ICC_NAME) - 2
    parts = [icc[start : start + size] for start in range(0, len(icc or b""), size)] if icc else []
    for number, part in enumerate(parts, 1):
        segments.append(_segment(_APP2, _ICC_NAME + bytes([number, len(parts)]) + part))
    return b"".join([head, *segments, memoryview(jpeg)[_AFTER_JFIF:]])


def read_xmp(data: bytes) -> bytes | None:
    """The main packet, or None. Raises ValueError when the segments are malformed."""
    for marker, start, end in _segments(data):
        if marker == _APP1 and data[start + 4 : end].startswith(_XMP_NAME):
            return data[start + 4 + len(_XMP_NAME) : end]
    return None


def replace_xmp(data: bytes, xmp: bytes) -> bytes:
    """The file with this packet as its only main one, behind JFIF and EXIF.

    Raises ValueError when the segments are malformed or the packet is longer than `MAX_XMP`.
    """
    if len(xmp) > MAX_XMP:
        raise ValueError("packet too long for a segment")
    leading: list[bytes] = [data[:2]]
    others: list[bytes] = []
    rest = 2
    for marker, start, end in _segments(data):
        leads = marker == _APP0 or (marker == _APP1 and data[start + 4 : end].startswith(EXIF_PREFIX[:5]))
        if not (marker == _APP1 and data[start + 4 : end].startswith(_XMP_NAME)):
            (leading if leads and not others else others).append(data[start:end])
        rest = end
    return b"".join([*leading, _segment(_APP1, _XMP_NAME + xmp), *others, memoryview(data)[rest:]])


def _segment(marker: int, payload: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of every segment before the scan (ITU-T T.81, B.1.1)."""
    if data[:2] != b"\xff\xd8":
        raise ValueError("no JPEG")
    at = 2
    while True:
        if at + 4 > len(data) or data[at] != 0xFF:
            raise ValueError("malformed segments")
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker in (_START_OF_SCAN, _END):
            return
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if end > len(data) or end < at + 4:
            raise ValueError("malformed segments")
        yield marker, at, end
        at = end
