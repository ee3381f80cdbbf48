"""XMP in WebP: a chunk "XMP " in the extended layout (RFC 9649, 2.7)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

_XMP_FLAG, _ALPHA_FLAG = 0x04, 0x10


def read(data: bytes) -> bytes | None:
    """The packet, or None. Raises ValueError when the chunks are malformed."""
    for kind, start, end in _chunks(data):
        if kind == b"XMP ":
            return data[start + 8 : end]
    return None


def replace(data: bytes, xmp: bytes) -> bytes:
    """The file with this packet as its only one, at the end; a simple file becomes an extended one.

    Raises ValueError when malformed.
    """
    chunks = [(kind, data[start + 8 : end]) for kind, start, end in _chunks(data) if kind != b"XMP "]
    if not chunks:
        raise ValueError("no picture")
    kind, first = chunks[0]
    if kind == b"VP8X":
        chunks[0] = (kind, bytes([first[0] | _XMP_FLAG]) + first[1:])
    else:
        chunks.insert(0, (b"VP8X", _extended_header(kind, first)))
    chunks.append((b"XMP ", xmp))
    parts: list[bytes] = []
    for name, body in chunks:
        parts += [name, struct.pack("<I", len(body)), body, b"\0" * (len(body) % 2)]
    size = 4 + sum(len(p) for p in parts)
    return b"".join([b"RIFF", struct.pack("<I", size), b"WEBP", *parts])


def _extended_header(kind: bytes, body: bytes) -> bytes:
    """A VP8X payload for a file that had none: flags, and the canvas as the picture states it."""
    flags = _XMP_FLAG
    if kind == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        flags |= _ALPHA_FLAG if bits >> 28 & 1 else 0
    elif kind == b"VP8 " and len(body) >= 10:
        width, height = (v & 0x3FFF for v in struct.unpack("<HH", body[6:10]))
    else:
        raise ValueError("no picture")
    return bytes([flags, 0, 0, 0]) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end (without padding) of every chunk."""
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        raise ValueError("no WebP")
    at = 12
    stop = min(len(data), 8 + int.from_bytes(data[4:8], "little"))
    while at + 8 <= stop:
        end = at + 8 + int.from_bytes(data[at + 4 : at + 8], "little")
        if end > len(data):
            raise ValueError("malformed chunks")
        yield data[at : at + 4], at, end
        at = end + end % 2
