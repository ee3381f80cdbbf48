"""JPEG segments: metadata in an encoded file, its pixels untouched (JFIF 1.02, T.81 B.1, XMP part 3)."""

import contextlib
import struct
from collections.abc import Iterator

from revisage.image import iptc as records
from revisage.image import xmp as packets
from revisage.image.containers.ifd import EXIF_PREFIX
from revisage.image.photo import Metadata

_AFTER_JFIF = 20  # SOI, then APP0 with the JFIF header, which libjpeg writes first
_DENSITY = 13  # unit, and horizontal and vertical density, in that header
_APP0, _APP1, _APP2, _APP13, _COMMENT, _START_OF_SCAN, _END = 0xE0, 0xE1, 0xE2, 0xED, 0xFE, 0xDA, 0xD9
_MAX_SEGMENT = 65_533  # bytes of payload
_XMP_NAME = b"http://ns.adobe.com/xap/1.0/\0"
_EXTENSION_NAME = b"http://ns.adobe.com/xmp/extension/\0"
_EXTENSION_PART = 65_400
_ICC_NAME = b"ICC_PROFILE\0"

_MAX_XMP = _MAX_SEGMENT - len(_XMP_NAME)


def with_metadata(jpeg: bytes, meta: Metadata) -> bytes:
    """The file with its density, EXIF, XMP, ICC, IPTC and comment segments right behind the JFIF header.

    What is too long for a segment is spread over several; of EXIF, readers that join none see the first.
    """
    assert jpeg[2:11] == b"\xff\xe0\0\x10JFIF\0", jpeg[:11]
    head = bytearray(jpeg[:_AFTER_JFIF])
    if meta.dpi:
        struct.pack_into(">BHH", head, _DENSITY, 1, *(min(round(v), 65_535) for v in meta.dpi))
    segments = _spread(_APP1, EXIF_PREFIX, (meta.exif or b"").removeprefix(EXIF_PREFIX))
    if meta.xmp:
        with contextlib.suppress(ValueError):  # long, and no packet that could be cut
            segments += _xmp_segments(meta.xmp)
    size, icc = _MAX_SEGMENT - len(_ICC_NAME) - 2, meta.icc or b""
    parts = [icc[start : start + size] for start in range(0, len(icc), size)]
    for number, part in enumerate(parts, 1):
        segments.append(_segment(_APP2, _ICC_NAME + bytes([number, len(parts)]) + part))
    segments += _spread(_APP13, records.PHOTOSHOP, records.to_resources(meta.iptc) if meta.iptc else b"")
    for comment in (text for key, text in meta.texts if key == "Comment"):
        segments += _spread(_COMMENT, b"", comment.encode())
    return b"".join([head, *segments, memoryview(jpeg)[_AFTER_JFIF:]])


def read_xmp(data: bytes) -> bytes | None:
    """The packet with its extension, or None. Raises ValueError when the segments are malformed."""
    main, extensions = None, dict[bytes, bytearray]()
    for marker, start, end in _segments(data):
        body = data[start + 4 : end]
        if marker == _APP1 and main is None and body.startswith(_XMP_NAME):
            main = body[len(_XMP_NAME) :]
        elif marker == _APP1 and body.startswith(_EXTENSION_NAME):
            name, at = body[35:67], int.from_bytes(body[71:75], "big")
            if at == len(extensions.setdefault(name, bytearray())):
                extensions[name] += body[75:]
    for name, extension in extensions.items():
        if main is not None and name in main:
            return packets.merge(main, bytes(extension))
    return main


def replace_xmp(data: bytes, xmp: bytes) -> bytes:
    """The file with this packet as its only one, behind JFIF and EXIF. Raises ValueError where that fails."""
    leading: list[bytes] = [data[:2]]
    others: list[bytes] = []
    rest = 2
    for marker, start, end in _segments(data):
        leads = marker == _APP0 or (marker == _APP1 and data[start + 4 : end].startswith(EXIF_PREFIX[:5]))
        if not (marker == _APP1 and data[start + 4 : end].startswith((_XMP_NAME, _EXTENSION_NAME))):
            (leading if leads and not others else others).append(data[start:end])
        rest = end
    return b"".join([*leading, *_xmp_segments(xmp), *others, memoryview(data)[rest:]])


def read_words(data: bytes) -> tuple[bytes | None, list[str]]:
    """The IPTC records, or None, and the comments. Raises ValueError when the segments are malformed."""
    resources, comments = b"", []
    for marker, start, end in _segments(data):
        body = data[start + 4 : end]
        if marker == _APP13 and body.startswith(records.PHOTOSHOP):
            resources += body.removeprefix(records.PHOTOSHOP)
        elif marker == _COMMENT:
            comments.append(body)
    return records.of_resources(resources), [words(comment) for comment in comments]


def words(text: bytes) -> str:
    """A comment, whose encoding no format tells."""
    try:
        return text.rstrip(b"\0").decode()
    except UnicodeDecodeError:
        return text.decode("latin-1")


def _xmp_segments(xmp: bytes) -> list[bytes]:
    main, extension = packets.split(xmp, _MAX_XMP)
    segments = [_segment(_APP1, _XMP_NAME + main)]
    if extension is not None:
        head = _EXTENSION_NAME + packets.digest(extension).encode() + struct.pack(">I", len(extension))
        for at in range(0, len(extension), _EXTENSION_PART):
            part = struct.pack(">I", at) + extension[at : at + _EXTENSION_PART]
            segments.append(_segment(_APP1, head + part))
    return segments


def _spread(marker: int, name: bytes, payload: bytes) -> list[bytes]:
    """As many segments as the payload takes, each with the name before its part."""
    size = _MAX_SEGMENT - len(name)
    return [_segment(marker, name + payload[start : start + size]) for start in range(0, len(payload), size)]


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
