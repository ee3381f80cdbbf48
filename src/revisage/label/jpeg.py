"""XMP in JPEG: an APP1 segment with a name in front (XMP specification part 3, 1.1.3)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

_NAME = b"http://ns.adobe.com/xap/1.0/\0"
_APP0, _APP1, _START_OF_SCAN, _END = 0xE0, 0xE1, 0xDA, 0xD9


def read(data: bytes) -> bytes | None:
    """The packet, or None. Raises ValueError when the segments are malformed."""
    for marker, start, end in _segments(data):
        if marker == _APP1 and data[start + 4 : end].startswith(_NAME):
            return data[start + 4 + len(_NAME) : end]
    return None


def replace(data: bytes, xmp: bytes) -> bytes:
    """The file with this packet as its only main one, behind JFIF and EXIF.

    Raises ValueError when the segments are malformed or the packet is too long for one.
    """
    payload = _NAME + xmp
    if len(payload) > 65_533:
        raise ValueError("packet too long for a segment")
    segment = struct.pack(">BBH", 0xFF, _APP1, len(payload) + 2) + payload
    parts: list[bytes | memoryview] = [data[:2]]
    placed = False
    rest = 2
    for marker, start, end in _segments(data):
        body = data[start + 4 : end]
        leads = marker == _APP0 or (marker == _APP1 and body.startswith(b"Exif\0"))
        if not placed and not leads:
            parts.append(segment)
            placed = True
        if not (marker == _APP1 and body.startswith(_NAME)):
            parts.append(data[start:end])
        rest = end
    if not placed:
        parts.append(segment)
    parts.append(memoryview(data)[rest:])
    return b"".join(parts)


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
