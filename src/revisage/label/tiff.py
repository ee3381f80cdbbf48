"""XMP in TIFF: tag 700 of the first directory (XMP specification part 3, 1.1.4)."""

from __future__ import annotations

import struct

_XMP, _BYTE = 700, 1
_ONE_BYTE_KINDS = (1, 2, 6, 7)


def read(data: bytes) -> bytes | None:
    """The packet, or None. Raises ValueError when the directory is malformed or the file is a BigTIFF."""
    place = _place(data)
    return None if place is None else data[place[0] : place[0] + place[1]]


def replace(data: bytes, xmp: bytes) -> bytes:
    """The file with this packet: in the old one's place where it fits, else at the end with a new directory.

    Nothing else moves: every strip, tile and other directory keeps its offset. Raises ValueError when
    malformed, and when the file would pass 4 GiB.
    """
    place = _place(data)
    if place is not None and len(xmp) <= place[1]:
        at, length = place
        return b"".join([memoryview(data)[:at], xmp.ljust(length), memoryview(data)[at + length :]])
    order, ifd, entries = _directory(data)
    after = ifd + 2 + 12 * len(entries)
    following = data[after : after + 4].ljust(4, b"\0")
    gap = bytes(len(data) % 2)
    start = len(data) + len(gap)
    tail = xmp + bytes(len(xmp) % 2)
    directory = start + len(tail)
    if directory + 2 + 12 * (len(entries) + 1) + 4 >= 1 << 32:
        raise ValueError("above 4 GiB")
    kept = [e for e in entries if struct.unpack(order + "H", e[:2])[0] != _XMP]
    kept.append(struct.pack(order + "HHII", _XMP, _BYTE, len(xmp), start))
    kept.sort(key=lambda e: struct.unpack(order + "H", e[:2])[0])
    return b"".join(
        [
            data[:4],
            struct.pack(order + "I", directory),
            memoryview(data)[8:],
            gap,
            tail,
            struct.pack(order + "H", len(kept)),
            *kept,
            following,
        ]
    )


def _place(data: bytes) -> tuple[int, int] | None:
    """Where the packet lies, and its length."""
    order, _, entries = _directory(data)
    for entry in entries:
        tag, kind, count, offset = struct.unpack(order + "HHII", entry)
        if tag == _XMP and kind in _ONE_BYTE_KINDS and count > 4 and offset + count <= len(data):
            return offset, count
    return None


def _directory(data: bytes) -> tuple[str, int, list[bytes]]:
    """Byte order, offset and raw entries of the first directory (TIFF 6.0, section 2)."""
    if data[:4] not in (b"II*\0", b"MM\0*"):
        raise ValueError("no classic TIFF")
    order = "<" if data[:2] == b"II" else ">"
    try:
        (ifd,) = struct.unpack_from(order + "I", data, 4)
        (count,) = struct.unpack_from(order + "H", data, ifd)
    except struct.error as error:
        raise ValueError("malformed directory") from error
    if ifd + 2 + 12 * count > len(data):
        raise ValueError("malformed directory")
    return order, ifd, [data[at : at + 12] for at in range(ifd + 2, ifd + 2 + 12 * count, 12)]
