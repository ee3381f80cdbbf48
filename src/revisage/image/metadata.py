"""What is kept of a photo's metadata, and what must go because the picture is upright, changed or private."""

import math
import struct
from collections.abc import Callable
from functools import partial

from revisage.image.containers import ifd as tags
from revisage.image.containers.ifd import EXIF_PREFIX, Block, OverlongError

_MAX_EXIF = 8 << 20  # a JPEG holds 64 KiB of it
_PIXEL_X, _PIXEL_Y, _WIDTH, _HEIGHT = 0xA002, 0xA003, 0x0100, 0x0101
_SUBJECT = (0x9214, 0xA214)  # SubjectArea and SubjectLocation, in pixels


def clean_exif(exif: bytes | None) -> bytes | None:
    """The block with orientation 1 and without its thumbnail, all else byte for byte as it was. Returns None
    for no EXIF, one whose first directory cannot be read, one larger than 8 MiB, and one with a directory
    longer than `MAX_ENTRIES`: what it holds could not be cleaned in reasonable time."""
    return _edited(exif, _set_upright, _drop_thumbnails)


def exif_for(
    exif: bytes | None, size: tuple[int, int], *, keep_gps: bool, orientation: bool = True
) -> bytes | None:
    """The block as it goes into a file of `size` (width, height): sizes put right, GPS out unless kept.

    With `orientation` False the orientation tag is left out as well, for formats that state it elsewhere.
    Returns None as `clean_exif` does.
    """
    return _edited(exif, partial(_fit, size=size, keep_gps=keep_gps, orientation=orientation))


def without_subject(exif: bytes | None) -> bytes | None:
    """The block without where the main subject is, which is elsewhere in a picture that was turned or cut."""
    return _edited(exif, _drop_subject)


def _fit(block: Block, size: tuple[int, int], *, keep_gps: bool, orientation: bool) -> None:
    directories = [block.first]
    inner = block.pointer(block.first, tags.EXIF_IFD)
    if inner is not None:
        directories.append(inner)
    for ifd in directories:
        if not keep_gps:
            gps = block.pointer(ifd, tags.GPS_IFD)
            block.remove(ifd, tags.GPS_IFD)
            if gps is not None and gps not in directories:
                block.wipe_directory(gps)
        moved = False
        for sizes, value in (((_PIXEL_X, _WIDTH), size[0]), ((_PIXEL_Y, _HEIGHT), size[1])):
            for tag in sizes:
                entry = block.find(ifd, tag)
                if entry is not None:
                    moved = moved or block.integers(entry) != [value]
                    block.set_integer(entry, value)
        if moved:
            _drop_subject(block)
    _set_upright(block)  # again: a Photo may have been made by hand
    if not orientation:
        block.remove(block.first, tags.ORIENTATION)


def _edited(exif: bytes | None, *edits: Callable[[Block], None]) -> bytes | None:
    if not exif or len(exif) > _MAX_EXIF:
        return None
    try:
        block = Block(exif.removeprefix(EXIF_PREFIX))
        for edit in edits:
            edit(block)
    except (ValueError, OverlongError):
        return None
    return EXIF_PREFIX + bytes(block.bytes)


def _set_upright(block: Block) -> None:
    entry = block.find(block.first, tags.ORIENTATION)
    if entry is not None and block.integers(entry) != [1]:
        _drop_subject(block)
        block.set_integer(entry, 1)


def _drop_subject(block: Block) -> None:
    inner = block.pointer(block.first, tags.EXIF_IFD)
    for ifd in (block.first, *([] if inner is None else [inner])):
        for tag in _SUBJECT:
            block.remove(ifd, tag)


def _drop_thumbnails(block: Block) -> None:
    ifd = block.next(block.first)
    block.end_chain(block.first)
    try:
        block.entries(ifd)
    except ValueError:
        return
    end = len(block.bytes)
    stretches = []
    for offsets, lengths in ((tags.JPEG_OFFSET, tags.JPEG_BYTES), (tags.STRIP_OFFSETS, tags.STRIP_BYTES)):
        at, size = block.find(ifd, offsets), block.find(ifd, lengths)
        if at is None or size is None:
            continue
        for start, length in zip(block.integers(at), block.integers(size), strict=False):
            if start < 8:
                continue
            stretches.append((start, length))
            if start + length >= end > start:
                end = start
    block.wipe(stretches)
    block.wipe_directory(ifd)
    del block.bytes[end:]


def valid_icc(profile: bytes | None, space: str) -> bytes | None:
    """The profile if it is one (ICC.1:2022, 7.2) of the colour space "RGB ", "GRAY" or "CMYK", else None."""
    if not profile or len(profile) < 132 or profile[36:40] != b"acsp":
        return None
    if int.from_bytes(profile[:4], "big") > len(profile):
        return None
    return profile if profile[16:20] == space.encode() else None


def gray_profile(icc: bytes | None) -> bytes | None:
    """The profile for gray of the same curve as a valid RGB one; None of one that is not by a single curve
    for each channel, and of None."""
    if icc is None:
        return None
    places = [
        struct.unpack_from(">4sII", icc, 132 + 12 * n) for n in range(min(icc[131], len(icc) // 12 - 11))
    ]
    parts = {name: icc[start : start + size] for name, start, size in places}
    curve, *others = (parts.get(name, b"") for name in (b"rTRC", b"gTRC", b"bTRC"))
    if not curve or any(other != curve for other in others) or b"A2B0" in parts:
        return None
    kept = {name: parts[name] for name in (b"desc", b"cprt", b"wtpt", b"chad") if name in parts}
    table, body = struct.pack(">I", len(kept) + 1), b""
    for name, part in (kept | {b"kTRC": curve}).items():
        table += struct.pack(">4sII", name, 132 + 12 * (len(kept) + 1) + len(body), len(part))
        body += part.ljust(-len(part) % 4 + len(part), b"\0")
    head = icc[:16] + b"GRAY" + icc[20:84] + bytes(16) + icc[100:128]  # without the digest of the other one
    return struct.pack(">I", 128 + len(table) + len(body)) + head[4:] + table + body


def valid_dpi(dpi: object) -> tuple[float, float] | None:
    """Two finite resolutions between 1 and 100,000 pixels per inch, or None."""
    try:
        x, y = (float(v) for v in dpi)  # type: ignore[attr-defined]
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    return (x, y) if all(math.isfinite(v) and 1 <= v <= 100_000 for v in (x, y)) else None
