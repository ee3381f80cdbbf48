"""PNG chunks: metadata in an encoded file, its pixels untouched (W3C PNG 3, XMP part 3, 1.1.5)."""

import contextlib
import struct
import zlib
from collections.abc import Iterator, Mapping

from revisage.image import iptc as records
from revisage.image.containers.ifd import EXIF_PREFIX
from revisage.image.photo import Metadata

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_AFTER_IHDR = 33
_XMP_KEYWORD = b"XML:com.adobe.xmp\0"
_IPTC_KEYWORD = "Raw profile type iptc"
_MAX_INFLATED = 4 << 20


def declared_size(head: bytes) -> tuple[int, int] | None:
    """Width and height of the header chunk; None where the file does not begin with one."""
    if head[12:16] != b"IHDR" or len(head) < 24:
        return None
    return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")


def has_trailing_metadata(data: bytes) -> bool:
    """Whether a PNG has EXIF or text behind its pixels, where Pillow finds it only by decoding them."""
    at, seen = 8, False
    while at + 8 <= len(data):  # not `_chunks`: a damaged file is read as far as it goes
        kind = data[at + 4 : at + 8]
        if kind == b"IDAT":
            seen = True
        elif seen and kind in (b"eXIf", b"iTXt", b"zTXt", b"tEXt"):
            return True
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    return False


def has_whole_pixels(data: bytes) -> bool:
    """Whether all that codes pixels is there and as it was written, by its checksum."""
    stream = zlib.decompressobj()
    with contextlib.suppress(ValueError, zlib.error):
        for kind, start, end in _chunks(data):
            coded = data[start + 8 : end - 4] if kind == b"IDAT" else b""
            while coded:
                stream.decompress(coded, _MAX_INFLATED)
                coded = stream.unconsumed_tail
    return stream.eof


def with_metadata(png: bytes, meta: Metadata) -> bytes:
    """The file with cICP, iCCP, pHYs, eXIf, XMP, IPTC and text chunks right behind its header."""
    chunks = []
    if meta.cicp:
        chunks.append(chunk(b"cICP", bytes([*meta.cicp, 0, 1])))
    if meta.icc:
        chunks.append(chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(meta.icc)))
    if meta.dpi:
        per_metre = [round(v / 0.0254) for v in meta.dpi]
        chunks.append(chunk(b"pHYs", struct.pack(">IIB", *per_metre, 1)))
    if meta.exif:
        chunks.append(chunk(b"eXIf", meta.exif.removeprefix(EXIF_PREFIX)))
    if meta.xmp:
        # no compression, no language tag, no translated keyword, text
        chunks.append(chunk(b"iTXt", _XMP_KEYWORD + b"\0\0\0\0" + meta.xmp))
    if meta.iptc:  # as ImageMagick and ExifTool do: PNG has no chunk for it
        resources = records.to_resources(meta.iptc)
        profile = f"\niptc\n{len(resources):8}\n{resources.hex()}\n".encode()
        chunks.append(chunk(b"zTXt", _IPTC_KEYWORD.encode() + b"\0\0" + zlib.compress(profile)))
    for keyword, text in meta.texts:
        name = keyword.encode("latin-1", "replace")[:79] + b"\0"
        try:
            chunks.append(chunk(b"tEXt", name + text.encode("latin-1")))
        except UnicodeEncodeError:
            chunks.append(chunk(b"iTXt", name + b"\0\0\0\0" + text.encode("utf-8", "replace")))
    return b"".join([png[:_AFTER_IHDR], *chunks, memoryview(png)[_AFTER_IHDR:]])


def read_xmp(data: bytes) -> bytes | None:
    """The packet, or None. Raises ValueError when the chunks are malformed."""
    for kind, start, end in _chunks(data):
        if _is_xmp(data, kind, start):
            return _text(data[start + 8 + len(_XMP_KEYWORD) : end - 4])
    return None


def stated_colours(data: bytes) -> tuple[str, tuple[float, ...]] | None:
    """What says how the samples are to be understood, in the order in which it counts (W3C PNG 3, 4.3).

    "cICP" with its four code points, "iCCP" or "sRGB" with nothing, "gAMA" with the exponent from samples to
    light and, where there is cHRM, x and y of red, green, blue and white; None where nothing does.
    """
    found = {}
    with contextlib.suppress(ValueError):
        for kind, start, end in _chunks(data):
            if kind == b"IDAT":
                break
            found[kind] = data[start + 8 : end - 4]
    if len(found.get(b"cICP", b"")) == 4:
        return "cICP", tuple(found[b"cICP"])
    for kind in (b"iCCP", b"sRGB"):
        if kind in found:
            return kind.decode(), ()
    gamma, chroma = found.get(b"gAMA", b""), found.get(b"cHRM", b"")
    points = struct.unpack(">8I", chroma) if len(chroma) == 32 else ()
    exponent = 100_000 / int.from_bytes(gamma, "big") if any(gamma) else 2.2
    white_last = (*points[2:], *points[:2])
    return ("gAMA", (exponent, *(v / 100_000 for v in white_last))) if gamma or points else None


def read_words(texts: Mapping[str, str]) -> tuple[bytes | None, list[tuple[str, str]]]:
    """The IPTC records among the texts of a file, and those texts that are words."""
    iptc = None
    for keyword in (_IPTC_KEYWORD, "Raw profile type 8bim"):
        digits = "".join(texts.get(keyword, "").split()[2:])  # behind a name and a length
        with contextlib.suppress(ValueError):
            iptc = iptc or records.of_resources(bytes.fromhex(digits))
    hidden = ("Raw profile type ", _XMP_KEYWORD[:-1].decode())
    return iptc, [(key, str(text)) for key, text in texts.items() if not key.startswith(hidden)]


def replace_xmp(data: bytes, xmp: bytes) -> bytes:
    """The file with this packet as its only one, behind the header. Raises ValueError when malformed."""
    kept = [data[start:end] for kind, start, end in _chunks(data) if not _is_xmp(data, kind, start)]
    return with_metadata(b"".join([_SIGNATURE, *kept]), Metadata(xmp=xmp))


def chunk(kind: bytes, payload: bytes) -> bytes:
    """Length, kind, payload and checksum."""
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


def _is_xmp(data: bytes, kind: bytes, start: int) -> bool:
    return kind == b"iTXt" and data[start + 8 : start + 8 + len(_XMP_KEYWORD)] == _XMP_KEYWORD


def _text(rest: bytes) -> bytes | None:
    """The text of an iTXt chunk behind its keyword: compression flag and method, language, keyword, text."""
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
