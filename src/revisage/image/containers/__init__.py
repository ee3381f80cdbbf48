"""The containers of photos: their segments, chunks and directories, and the metadata in them."""

from revisage.image.containers import boxes, jpeg, png, tiff, webp
from revisage.image.formats import HEAD_BYTES, sniff

_READ = {"JPEG": jpeg.read_xmp, "PNG": png.read_xmp, "WEBP": webp.read_xmp, "TIFF": tiff.read_xmp}
_REPLACE = {
    "JPEG": jpeg.replace_xmp, "PNG": png.replace_xmp, "WEBP": webp.replace_xmp, "TIFF": tiff.replace_xmp,
}  # fmt: skip


def read_xmp(data: bytes, format: str | None = None) -> bytes | None:
    """The XMP packet in a file of `format`, by default told by its head. Raises ValueError when malformed."""
    if data[:256].lstrip(b"\xef\xbb\xbf \r\n\t").startswith((b"<?xpacket", b"<x:xmpmeta", b"<?xml")):
        return data  # the packet in a file of its own
    read = _READ.get(format or sniff(data[:HEAD_BYTES]) or "")
    if read is not None:
        return read(data)
    if data[:8] == b"\0\0\0\x0cJXL ":
        return boxes.read_metadata(data).xmp
    if data[4:8] != b"ftyp":
        return None
    # HEIF keeps the packet whole and uncompressed, and XMP packets are made to be found by scanning
    # (XMP specification part 3, "Packet scanning").
    start = data.find(b"<x:xmpmeta")
    end = data.find(b"</x:xmpmeta>", start)
    return data[start : end + len(b"</x:xmpmeta>")] if 0 <= start < end else None


def replace_xmp(data: bytes, format: str, xmp: bytes) -> bytes:
    """The JPEG, PNG, WEBP or TIFF with this packet as its only one. Raises ValueError where that fails."""
    if format not in _REPLACE:
        raise ValueError(f"no packet can be put into {format}")
    return _REPLACE[format](data, xmp)


def declared_size(head: bytes, format: str) -> tuple[int, int] | None:
    """Width and height in a file's first `HEAD_BYTES`, of the formats whose decoder allocates on opening."""
    if format == "PNG":
        return png.declared_size(head)
    if format == "WEBP" and len(head) >= 30:
        return webp.picture_size(head[12:16], head[20:])
    return None
