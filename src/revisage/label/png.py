"""XMP in PNG: an iTXt chunk with the keyword XML:com.adobe.xmp (XMP specification part 3, 1.1.5)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_KEYWORD = b"XML:com.adobe.xmp\0"
_MAX_INFLATED = 4 << 20


def read(data: bytes) -> bytes | None:
    """The packet, or None. Raises ValueError when the chunks are malformed."""
    for kind, start, end in _chunks(data):
        if _is_xmp(data, kind, start):
            return _text(data[start + 8 + len(_KEYWORD) : end - 4])
    return None


def replace(data: bytes, xmp: bytes) -> bytes:
    """The file with this packet as its only one, right behind the header.

    Raises ValueError when the chunks are malformed.
    """
    payload = b"iTXt" + _KEYWORD + b"\0\0\0\0" + xmp
    chunk = struct.pack(">I", len(payload) - 4) + payload + struct.pack(">I", zlib.crc32(payload))
    view = memoryview(data)
    parts: list[bytes | memoryview] = [_SIGNATURE]
    for index, (kind, start, end) in enumerate(_chunks(data)):
        if not _is_xmp(data, kind, start):
            parts.append(view[start:end])
        if index == 0:
            parts.append(chunk)
    return b"".join(parts)


def _is_xmp(data: bytes, kind: bytes, start: int) -> bool:
    return kind == b"iTXt" and data[start + 8 : start + 8 + len(_KEYWORD)] == _KEYWORD


def _text(rest: bytes) -> bytes | None:
    """The text of an iTXt chunk, given what follows its keyword.

    That is: compression flag and method, language, translated keyword, text.
    """
    parts = rest[2:].split(b"\0", 2)
    if len(parts) != 3:
        return None
    if rest[0] != 1:
        return parts[2]
    try:
        return zlib.decompressobj().decompress(parts[2], _MAX_INFLATED)
    except zlib.error:
        return None


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of every chunk, the first of which must be the header."""
    if not data.startswith(_SIGNATURE + b"\0\0\0\rIHDR"):
        raise ValueError("no PNG")
    at = len(_SIGNATURE)
    while at < len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if end > len(data):
            raise ValueError("malformed chunks")
        yield data[at + 4 : at + 8], at, end
        at = end
