"""Image file directories: the tag tables that TIFF files and EXIF blocks share (TIFF 6.0, section 2)."""

import struct
from collections.abc import Iterable
from dataclasses import dataclass, replace

EXIF_PREFIX = b"Exif\0\0"  #: what stands before the block in JPEG segments, and in a `Photo`
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}

ORIENTATION = 0x0112
STRIP_OFFSETS, STRIP_BYTES = 0x0111, 0x0117
JPEG_OFFSET, JPEG_BYTES = 0x0201, 0x0202
EXIF_IFD, GPS_IFD = 0x8769, 0x8825

_SHORT, _LONG = 3, 4

MAX_ENTRIES = 1_000
"""Entries of a directory, and strips of a thumbnail. Cameras write some 60; every entry costs time."""


class OverlongError(Exception):
    """A directory has more than `MAX_ENTRIES` entries: no camera's, and not worth the time."""


@dataclass(frozen=True)
class Entry:
    """One line of a directory."""

    tag: int
    kind: int
    count: int
    at: int  #: where the twelve bytes of the entry begin
    data: int  #: where the value begins: inside the entry when it fits four bytes

    @property
    def nbytes(self) -> int:
        """Length of the value; 0 for a type that TIFF does not know."""
        return _TYPE_BYTES.get(self.kind, 0) * self.count

    @property
    def inline(self) -> bool:
        """Whether the value lies inside the entry itself."""
        return self.nbytes <= 4


class Block:
    """A TIFF structure held in a bytearray, edited in place so that every other offset stays valid.

    In-place matters: maker notes hold offsets relative to the block, and writing the tags anew breaks them.
    Raises ValueError when the header or the first directory is not one.
    """

    def __init__(self, data: bytes) -> None:
        self.bytes = bytearray(data)
        if bytes(self.bytes[:4]) not in (b"II*\0", b"MM\0*"):
            raise ValueError("no TIFF header")
        self.order = "<" if self.bytes[:2] == b"II" else ">"
        self.first = self.number(4, "I")
        self.entries(self.first)

    def number(self, at: int, code: str) -> int:
        """The unsigned integer of struct code "H" or "I" at an offset."""
        try:
            value: int = struct.unpack_from(self.order + code, self.bytes, at)[0]
        except struct.error as error:
            raise ValueError(str(error)) from error
        return value

    def put(self, at: int, code: str, value: int) -> None:
        """Write one unsigned integer."""
        struct.pack_into(self.order + code, self.bytes, at, value)

    def entries(self, ifd: int) -> list[Entry]:
        """Entries at an offset. Raises ValueError outside the block, OverlongError beyond `MAX_ENTRIES`."""
        count = self.number(ifd, "H")
        if ifd < 8 or ifd + 2 + 12 * count > len(self.bytes):
            raise ValueError("directory outside the block")
        if count > MAX_ENTRIES:
            raise OverlongError
        found = []
        for at in range(ifd + 2, ifd + 2 + 12 * count, 12):
            tag, kind, values = struct.unpack_from(f"{self.order}HHI", self.bytes, at)
            entry = Entry(tag, kind, values, at, at + 8)
            found.append(entry if entry.inline else replace(entry, data=self.number(at + 8, "I")))
        return found

    def find(self, ifd: int, tag: int) -> Entry | None:
        """The first entry with a tag, if any."""
        return next((e for e in self.entries(ifd) if e.tag == tag), None)

    def pointer(self, ifd: int, tag: int) -> int | None:
        """The offset of the directory that a tag points to; None when absent or unreadable."""
        entry = self.find(ifd, tag)
        if entry is None:
            return None
        try:
            target = self.number(entry.at + 8, "I")
            self.entries(target)
        except ValueError:
            return None
        return target

    def next(self, ifd: int) -> int:
        """The offset of the directory after this one; 0 at the end of the chain."""
        at = ifd + 2 + 12 * self.number(ifd, "H")
        return self.number(at, "I") if at + 4 <= len(self.bytes) else 0

    def end_chain(self, ifd: int) -> None:
        """Make a directory the last one."""
        at = ifd + 2 + 12 * self.number(ifd, "H")
        if at + 4 <= len(self.bytes):
            self.put(at, "I", 0)

    def integers(self, entry: Entry) -> list[int]:
        """A SHORT or LONG value; empty for others and outside. Raises OverlongError beyond `MAX_ENTRIES`."""
        code = {_SHORT: "H", _LONG: "I"}.get(entry.kind)
        if code is None or entry.data + entry.nbytes > len(self.bytes):
            return []
        if entry.count > MAX_ENTRIES:
            raise OverlongError
        return list(struct.unpack_from(f"{self.order}{entry.count}{code}", self.bytes, entry.data))

    def set_integer(self, entry: Entry, value: int) -> None:
        """Make an entry one LONG (one SHORT where it fits)."""
        short = value < 1 << 16
        self.put(entry.at + 2, "H", _SHORT if short else _LONG)
        self.put(entry.at + 4, "I", 1)
        self.put(entry.at + 8, "I", 0)
        self.put(entry.at + 8, "H" if short else "I", value)

    def remove(self, ifd: int, tag: int) -> None:
        """Take every entry of a tag out of a directory; the later ones move up, nothing else moves."""
        entries = self.entries(ifd)
        kept = [entry for entry in entries if entry.tag != tag]
        if len(kept) == len(entries):
            return
        start = ifd + 2
        behind = start + 12 * len(entries)
        tail = self.bytes[behind : behind + 4]  # the offset of the next directory, where there is room for it
        moved = b"".join(self.bytes[entry.at : entry.at + 12] for entry in kept) + tail
        self.bytes[start : behind + len(tail)] = moved.ljust(behind + len(tail) - start, b"\0")
        self.put(ifd, "H", len(kept))

    def wipe(self, stretches: Iterable[tuple[int, int]]) -> None:
        """Zero stretches of (start, length) within the block, each byte once however they overlap."""
        done = 0
        for start, length in sorted(stretches):
            begin, stop = max(start, done), min(start + length, len(self.bytes))
            if begin < stop:
                self.bytes[begin:stop] = bytes(stop - begin)
                done = stop

    def wipe_directory(self, ifd: int) -> None:
        """Zero a directory with every value it points to."""
        entries = self.entries(ifd)
        values = [(max(entry.data, 8), entry.nbytes) for entry in entries if not entry.inline]
        self.wipe([*values, (ifd, 2 + 12 * len(entries))])
