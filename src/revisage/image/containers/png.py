"""PNG chunks: metadata put into an encoded file without touching its pixels (W3C PNG 3)."""

from __future__ import annotations

import struct
import zlib

from revisage.image.metadata import EXIF_PREFIX

_AFTER_IHDR = 33


def with_metadata(
    png: bytes,
    *,
    icc: bytes | None,
    exif: bytes | None,
    xmp: bytes | None,
    dpi: tuple[float, float] | None,
) -> bytes:
    """The file with iCCP, pHYs, eXIf and XMP chunks right behind its header."""
    chunks = []
    if icc:
        chunks.append(_chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc)))
    if dpi:
        per_metre = [round(v / 0.0254) for v in dpi]
        chunks.append(_chunk(b"pHYs", struct.pack(">IIB", *per_metre, 1)))
    if exif:
        chunks.append(_chunk(b"eXIf", exif.removeprefix(EXIF_PREFIX)))
    if xmp:
        # keyword, no compression, no language tag, no translated keyword, text
        chunks.append(_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp))
    return b"".join([png[:_AFTER_IHDR], *chunks, memoryview(png)[_AFTER_IHDR:]])


def _chunk(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))
