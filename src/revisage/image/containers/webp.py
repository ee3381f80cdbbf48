"""WebP chunks: metadata in an encoded file, its pixels untouched (RFC 9649, 2.5–2.7)."""

import struct
from collections.abc import Iterator

from revisage.image.containers.ifd import EXIF_PREFIX
from revisage.image.photo import Metadata

_ALPHA_FLAG = 0x10
_FLAGS = {b"ICCP": 0x20, b"EXIF": 0x08, b"XMP ": 0x04}


def picture_size(kind: bytes, body: bytes) -> tuple[int, int] | None:
    """Width and height as the first chunk states them, given at least ten bytes of it; None for another."""
    if kind == b"VP8X":
        return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 " and len(body) >= 10:
        width, height = struct.unpack("<HH", body[6:10])
        return width & 0x3FFF, height & 0x3FFF
    return None


def with_metadata(webp: bytes, meta: Metadata) -> bytes:
    """The file with profile, EXIF and XMP instead of its own; a simple file becomes an extended one.

    What is None stays as it is. Raises ValueError when the chunks are malformed.
    """
    exif = (meta.exif or b"").removeprefix(EXIF_PREFIX)
    new = {kind: body for kind, body in ((b"ICCP", meta.icc), (b"EXIF", exif), (b"XMP ", meta.xmp)) if body}
    if not new:
        return webp
    chunks = [(kind, webp[start + 8 : end]) for kind, start, end in _chunks(webp) if kind not in new]
    if not chunks:
        raise ValueError("no picture")
    if chunks[0][0] != b"VP8X":
        chunks.insert(0, (b"VP8X", _extended_header(*chunks[0])))
    header = chunks[0][1]
    chunks[0] = (b"VP8X", bytes([header[0] | sum(_FLAGS[kind] for kind in new)]) + header[1:])
    if b"ICCP" in new:
        chunks.insert(1, (b"ICCP", new.pop(b"ICCP")))
    parts = [b"WEBP"]
    for kind, body in [*chunks, *new.items()]:
        parts += [kind, struct.pack("<I", len(body)), body, b"\0" * (len(body) % 2)]
    return b"".join([b"RIFF", struct.pack("<I", sum(map(len, parts))), *parts])


def read_xmp(data: bytes) -> bytes | None:
    """The packet, or None. Raises ValueError when the chunks are malformed."""
    return next((data[start + 8 : end] for kind, start, end in _chunks(data) if kind == b"XMP "), None)


def replace_xmp(data: bytes, xmp: bytes) -> bytes:
    """The file with this packet as its only one. Raises ValueError when the chunks are malformed."""
    return with_metadata(data, Metadata(xmp=xmp))


def _extended_header(kind: bytes, body: bytes) -> bytes:
    """A VP8X payload for a file that had none: flags, and the canvas as the picture states it."""
    size = picture_size(kind, body)
    if size is None or 0 in size:
        raise ValueError("no picture")
    alpha = kind == b"VP8L" and int.from_bytes(body[1:5], "little") >> 28 & 1
    canvas = b"".join((side - 1).to_bytes(3, "little") for side in size)
    return bytes([_ALPHA_FLAG if alpha else 0, 0, 0, 0]) + canvas


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
