"""The label that says a picture was edited with trained models, inside the file, where viewers look for it.

It is XMP: `Iptc4xmpExt:DigitalSourceType` with IPTC's term for "edited using generative AI", IPTC's AI system
used and its version, `xmp:CreatorTool`, and the tool and models in a namespace of our own. With `Credentials`
a signed label goes into the file as well (`sign`, C2PA), which shows later changes.
"""

from __future__ import annotations

from revisage.errors import SaveError
from revisage.label import jpeg, png, tiff, webp
from revisage.label.packet import DIGITAL_SOURCE_TYPE, Label, label_of, packet
from revisage.label.signature import Earlier, Signature, signature
from revisage.label.signed import Edit, Original, can_sign, certificate_digest, check, sign
from revisage.options import Credentials

__all__ = [
    "DIGITAL_SOURCE_TYPE",
    "Credentials",
    "Earlier",
    "Edit",
    "Label",
    "Original",
    "Signature",
    "add",
    "can_sign",
    "certificate_digest",
    "check",
    "packet",
    "read",
    "sign",
    "signature",
]

_MAX_JPEG_PACKET = 65_502  # a segment's 65,533 bytes of payload, less the name in front and its NUL


def add(data: bytes, format: str, label: Label) -> bytes:
    """The encoded file with the label in its XMP; pixels and all other metadata stay byte for byte.

    A packet that is there already is kept and merged; one that is not well-formed is replaced, as is one so
    large that JPEG could not hold it with the label. Adding the same label twice changes nothing. JPEG,
    PNG, WEBP and TIFF are labelled. BMP cannot be; HEIF and AVIF come back unchanged as well, because their
    boxes hold offsets of everything behind them: give `packet(label, photo.xmp)` to the encoder instead.

    Raises SaveError when the data is not a well-formed file of `format`.
    """
    try:
        match format:
            case "JPEG":
                merged = packet(label, jpeg.read(data))
                return jpeg.replace(data, merged if len(merged) <= _MAX_JPEG_PACKET else packet(label))
            case "PNG":
                return png.replace(data, packet(label, png.read(data)))
            case "WEBP":
                return webp.replace(data, packet(label, webp.read(data)))
            case "TIFF":
                return tiff.replace(data, packet(label, tiff.read(data)))
            case "BMP" | "HEIF" | "AVIF":
                return data
            case _:
                raise ValueError(f"no such format: {format}")
    except (ValueError, IndexError) as error:
        raise SaveError(
            f"the {format} cannot be labelled ({error}): save it again, or without the label"
        ) from error


def read(data: bytes) -> Label | None:
    """The label of a file of any of the formats; None when it has none or is not well-formed."""
    try:
        if data.startswith(b"\xff\xd8"):
            found = jpeg.read(data)
        elif data.startswith(b"\x89PNG"):
            found = png.read(data)
        elif data[:4] == b"RIFF":
            found = webp.read(data)
        elif data[:2] in (b"II", b"MM"):
            found = tiff.read(data)
        elif data[4:8] == b"ftyp":
            found = _scan(data)
        else:
            return None
    except (ValueError, IndexError):
        return None
    return label_of(found)


def _scan(data: bytes) -> bytes | None:
    # HEIF keeps the packet whole and uncompressed, and XMP packets are made to be found by scanning
    # (XMP specification part 3, "Packet scanning").
    start = data.find(b"<x:xmpmeta")
    end = data.find(b"</x:xmpmeta>", start)
    return data[start : end + len(b"</x:xmpmeta>")] if 0 <= start < end else None
