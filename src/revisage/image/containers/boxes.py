"""Boxes of JPEG 2000 and JPEG XL files: metadata beside the picture (ISO/IEC 15444-1 annex I, 18181-2)."""

import struct
from collections.abc import Iterator
from typing import Any

from revisage.image.containers.ifd import EXIF_PREFIX
from revisage.image.photo import Metadata

_XMP_UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_IPTC_UUID = bytes.fromhex("33c7a4d2b81d4723a0baf1a3e097ad38")
_EXIF_UUID = b"JpgTiffExif->JP2"
_MOST_INFLATED = 64 << 20


def read_metadata(data: bytes) -> Metadata:
    """Of a JP2 or JXL file, as far as its boxes are well-formed; nothing of a bare codestream."""
    found: dict[str, Any] = {}
    for kind, body in _boxes(data):
        if kind == b"brob":
            import imagecodecs

            kind, body = body[:4], bytes(imagecodecs.brotli_decode(body[4:], out=_MOST_INFLATED))  # noqa: PLW2901
        if kind == b"Exif":
            found["exif"] = EXIF_PREFIX + body[4 + int.from_bytes(body[:4], "big") :]
        elif kind == b"xml " and b"<x:xmpmeta" in body:
            found["xmp"] = body
        elif kind == b"uuid" and body[:16] == _XMP_UUID:
            found["xmp"] = body[16:]
        elif kind == b"uuid" and body[:16] == _IPTC_UUID:
            found["iptc"] = body[16:]
        elif kind == b"uuid" and body[:16] == _EXIF_UUID:
            found["exif"] = EXIF_PREFIX + body[16:].removeprefix(EXIF_PREFIX)
        elif kind == b"jp2h":
            for inner, content in _boxes(body):
                if inner == b"colr" and content[:1] == b"\x02":  # method 2: a profile
                    found["icc"] = content[3:]
    return Metadata(**found)


def jxl_with_metadata(jxl: bytes, meta: Metadata) -> bytes:
    """A JXL file of boxes with EXIF and XMP before the picture."""
    parts = list(_boxes(jxl))
    first = next(
        index for index, (kind, _) in enumerate(parts) if kind.startswith(b"jxl") and kind != b"jxll"
    )
    new = [(b"Exif", bytes(4) + meta.exif.removeprefix(EXIF_PREFIX))] if meta.exif else []
    new += [(b"xml ", meta.xmp)] if meta.xmp else []
    boxes = (*parts[:first], *new, *parts[first:])
    return b"".join(struct.pack(">I", 8 + len(body)) + kind + body for kind, body in boxes)


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + 8 <= len(data):
        length, start = int.from_bytes(data[at : at + 4], "big"), at + 8
        if length == 1:  # the length stands behind the kind
            length, start = int.from_bytes(data[at + 8 : at + 16], "big"), at + 16
        end = at + length if length else len(data)
        if end < start or end > len(data):
            return
        yield data[at + 4 : at + 8], data[start:end]
        at = end
