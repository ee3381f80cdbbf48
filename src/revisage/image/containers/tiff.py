"""TIFF files (TIFF 6.0): written with 8 and 16 bits, which Pillow does not do for colour; metadata in them.

An EXIF block is itself a TIFF structure. So a file with EXIF begins with that block, unchanged, and the
picture's own directory comes after the pixels: every offset inside the EXIF, those of the maker's note
included, stays true.
"""

import io
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from PIL import Image

from revisage.errors import SaveError
from revisage.image import iptc as records
from revisage.image.containers.ifd import EXIF_IFD, EXIF_PREFIX, GPS_IFD, Block, Entry, OverlongError
from revisage.image.photo import Photo

_SHORT, _LONG, _RATIONAL, _BYTE, _UNDEFINED = 3, 4, 5, 1, 7
_STRIP_BYTES = 1 << 18
_XMP = 700  # XMP specification part 3, 1.1.4
_IPTC, _PHOTOSHOP = 33723, 34377
_ONE_BYTE_KINDS = (1, 2, 6, 7)

_DESCRIPTIVE = (
    *range(0x010D, 0x0111),  # DocumentName, ImageDescription, Make, Model
    *(0x0131, 0x0132, 0x013B, 0x013C),  # Software, DateTime, Artist, HostComputer
    *(0x4746, 0x8298),  # Rating, Copyright
    *range(0x9C9B, 0x9CA0),  # XPTitle, XPComment, XPAuthor, XPKeywords, XPSubject
)

# Tags of the EXIF's first directory that go along: descriptions, and the pointers to its inner directories.
_FROM_EXIF = {*_DESCRIPTIVE, 0x4749, 0xC4A5, EXIF_IFD, GPS_IFD}


@dataclass(frozen=True)
class _Tag:
    number: int
    kind: int
    count: int
    value: bytes


def write_tiff(pages: Sequence[Photo]) -> bytes:
    """A TIFF of pages with their metadata, deflated as differences. Raises SaveError beyond TIFF's 4 GiB."""
    first = pages[0].exif
    body = bytearray(first.removeprefix(EXIF_PREFIX) if first else b"II*\0\x08\0\0\0")
    order, link = "<" if body[:2] == b"II" else ">", 4
    for number, page in enumerate(pages):
        tags = []
        if page.exif:
            block = Block(page.exif.removeprefix(EXIF_PREFIX))
            entries = [e for e in block.entries(block.first) if e.tag in _FROM_EXIF]
            if number == 0:  # whose block begins the file: offsets in it stay true
                tags = [_copied(block, entry) for entry in entries]
            elif block.order == order:
                tags = [_moved(block, entry, body) for entry in entries]
        tags += _picture_tags(page, body, order)
        needed = len(body) + sum(len(tag.value) + 16 for tag in tags) + 64
        if needed >= 1 << 32:
            raise SaveError("the picture needs more than TIFF's 4 GiB: choose .png")
        link = _append_directory(body, tags, order, link)
    return bytes(body)


def _picture_tags(page: Photo, body: bytearray, order: str) -> list[_Tag]:
    """Append the pixels to the file; the tags that describe them."""
    colour, alpha = page.colour, page.alpha
    height, width = colour.shape[:2]
    samples = (1 if colour.ndim == 2 else 3) + (alpha is not None)
    rows = max(1, min(height, _STRIP_BYTES // (width * samples * colour.itemsize)))
    offsets, lengths = [], []
    for strip in _strips(colour, alpha, rows, order):
        _pad(body)
        offsets.append(len(body))
        lengths.append(len(strip))
        body += strip
        if len(body) >= 1 << 32:
            raise SaveError("the picture needs more than TIFF's 4 GiB: choose .png")

    def shorts(number: int, *values: int) -> _Tag:
        return _Tag(number, _SHORT, len(values), struct.pack(f"{order}{len(values)}H", *values))

    def longs(number: int, *values: int) -> _Tag:
        return _Tag(number, _LONG, len(values), struct.pack(f"{order}{len(values)}I", *values))

    def rational(number: int, value: float) -> _Tag:
        ratio = Fraction(value).limit_denominator(10_000)
        return _Tag(number, _RATIONAL, 1, struct.pack(f"{order}2I", ratio.numerator, ratio.denominator))

    tags = [
        longs(256, width),
        longs(257, height),
        shorts(258, *[colour.itemsize * 8] * samples),
        shorts(259, 8),  # Compression: deflate
        shorts(262, 1 if colour.ndim == 2 else 2),
        longs(273, *offsets),
        shorts(274, 1),
        shorts(277, samples),
        longs(278, rows),
        longs(279, *lengths),
        shorts(284, 1),
        shorts(317, 2),  # Predictor: horizontal differences
        shorts(339, *[1] * samples),
    ]
    if page.dpi:
        tags += [rational(282, page.dpi[0]), rational(283, page.dpi[1]), shorts(296, 2)]
    if alpha is not None:
        tags.append(shorts(338, 2))  # ExtraSamples: straight alpha
    described = ((_XMP, _BYTE, page.xmp), (_IPTC, _UNDEFINED, page.iptc), (34675, _UNDEFINED, page.icc))
    tags += [_Tag(number, kind, len(value), value) for number, kind, value in described if value]
    return tags


def exif_of(data: bytes, offset: int) -> bytes | None:
    """An EXIF block of what a TIFF says about its picture: who, when, with what, where; not how it is stored.

    `offset` is that of the first directory. None when there is nothing to say.
    """
    source = Image.Exif()
    source.endian = "<" if data[:2] == b"II" else ">"
    source.bigtiff = b"+" in data[2:4]
    source.load_from_fp(io.BytesIO(data), offset)
    kept = Image.Exif()
    for tag in _DESCRIPTIVE:
        if tag in source:
            kept[tag] = source[tag]
    for pointer in (EXIF_IFD, GPS_IFD):
        inner = source.get_ifd(pointer)
        if inner:
            kept[pointer] = dict(inner)
    return kept.tobytes() if len(kept) else None


def iptc_of(tags: Mapping[int, object]) -> bytes | None:
    """The IPTC records among the tags of a directory."""
    found = tags.get(_IPTC)
    if isinstance(found, tuple):  # some programs call the bytes LONG
        found = struct.pack(f"<{len(found)}I", *found)
    if isinstance(found, bytes) and found[:1] == b"\x1c":
        return found
    resources = tags.get(_PHOTOSHOP)
    return records.of_resources(resources) if isinstance(resources, bytes) else None


def read_xmp(data: bytes) -> bytes | None:
    """The packet, or None. Raises ValueError when the directory is malformed or the file is a BigTIFF."""
    entry = _find_xmp(_opened(data))
    return None if entry is None else data[entry.data : entry.data + entry.count]


def replace_xmp(data: bytes, xmp: bytes) -> bytes:
    """The file with this packet: in the old one's place where it fits, else at the end with a new directory.

    Nothing else moves: every strip, tile and other directory keeps its offset. Raises ValueError when
    malformed, and when the file would pass 4 GiB.
    """
    block = _opened(data)
    old = _find_xmp(block)
    if old is not None and len(xmp) <= old.count:
        block.bytes[old.data : old.data + old.count] = xmp.ljust(old.count)
        return bytes(block.bytes)
    entries = block.entries(block.first)
    if len(data) + len(xmp) + 12 * len(entries) + 32 >= 1 << 32:
        raise ValueError("above 4 GiB")
    tags = [_copied(block, entry) for entry in entries if entry.tag != _XMP]
    tags.append(_Tag(_XMP, _BYTE, len(xmp), xmp))
    _append_directory(block.bytes, tags, block.order, 4, block.next(block.first))
    return bytes(block.bytes)


def _opened(data: bytes) -> Block:
    try:
        return Block(data)
    except OverlongError:
        raise ValueError("its directory is too long") from None


def _find_xmp(block: Block) -> Entry | None:
    found = (e for e in block.entries(block.first) if e.tag == _XMP and e.kind in _ONE_BYTE_KINDS)
    return next((e for e in found if 4 < e.count <= len(block.bytes) - e.data), None)


def _copied(block: Block, entry: Entry) -> _Tag:
    """A tag of another directory, its value or the offset of it as it is."""
    return _Tag(entry.tag, entry.kind, entry.count, bytes(block.bytes[entry.at + 8 : entry.at + 12]))


def _moved(block: Block, entry: Entry, body: bytearray) -> _Tag:
    """A tag with its value, to be written elsewhere. The directory that an EXIF or GPS tag points to goes to
    the end of `body`, and the tag points there."""

    def valued(entry: Entry) -> _Tag:
        value = bytes(block.bytes[entry.data : entry.data + entry.nbytes])
        return _Tag(entry.tag, entry.kind, entry.count, value)

    inner = block.pointer(block.first, entry.tag) if entry.tag in (EXIF_IFD, GPS_IFD) else None
    if inner is None:
        return valued(entry)
    link = len(body)
    body += bytes(4)  # only so that the directory has a place to be linked from
    _append_directory(body, [valued(one) for one in block.entries(inner)], block.order, link)
    return _Tag(entry.tag, _LONG, 1, bytes(body[link : link + 4]))


def _append_directory(body: bytearray, tags: list[_Tag], order: str, link: int, following: int = 0) -> int:
    """Append a directory and let the offset at `link` point to it; where its own link is."""
    lines = []
    for tag in sorted(tags, key=lambda t: t.number):
        value = tag.value
        if len(value) > 4:
            _pad(body)
            value = struct.pack(order + "I", len(body))
            body += tag.value
        lines.append(struct.pack(order + "HHI", tag.number, tag.kind, tag.count) + value.ljust(4, b"\0"))
    _pad(body)
    struct.pack_into(order + "I", body, link, len(body))
    body += struct.pack(order + "H", len(lines)) + b"".join(lines) + struct.pack(order + "I", following)
    return len(body) - 4


def _pad(body: bytearray) -> None:
    if len(body) % 2:  # TIFF 6.0: values and directories begin on a word boundary
        body += b"\0"


def _strips(colour: np.ndarray, alpha: np.ndarray | None, rows: int, order: str) -> Iterator[bytes]:
    """Deflated strips, one at a time: the only copies of pixels are a strip long."""
    import imagecodecs

    stored = np.dtype(f"{order}u{colour.itemsize}")
    for row in range(0, colour.shape[0], rows):
        band = colour[row : row + rows]
        if alpha is not None:
            planes = band[..., None] if band.ndim == 2 else band
            band = np.concatenate([planes, alpha[row : row + rows, :, None]], axis=2)
        differences = band.copy()
        differences[:, 1:] -= band[:, :-1]  # wraps around, as the predictor does
        yield bytes(imagecodecs.deflate_encode(differences.astype(stored, copy=False).tobytes(), 6))
