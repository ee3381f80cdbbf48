"""The label that says a picture was edited with trained models, inside the file, where viewers look for it.

It is XMP: `Iptc4xmpExt:DigitalSourceType` with IPTC's term for "edited using generative AI", IPTC's AI system
used and its version, `xmp:CreatorTool`, and the tool and models in a namespace of our own. With `Credentials`
a signed label goes into the file as well (`sign`, C2PA), which shows later changes.
"""

from revisage.errors import SaveError
from revisage.image.containers import read_xmp, replace_xmp
from revisage.label.signature import Earlier, Signature, signature
from revisage.label.signed import Edit, Original, can_sign, certificate_digest, check, sign
from revisage.label.xmp import DIGITAL_SOURCE_TYPE, Label, label_of, packet
from revisage.options import Credentials

__all__ = [
    "DIGITAL_SOURCE_TYPE", "Credentials", "Earlier", "Edit", "Label", "Original", "Signature", "add",
    "can_sign", "certificate_digest", "check", "packet", "read", "sign", "signature",
]  # fmt: skip


def add(data: bytes, format: str, label: Label) -> bytes:
    """The encoded file with the label in its XMP; pixels and all other metadata stay byte for byte.

    A packet that is there already is kept and merged; one that is not well-formed is replaced. Adding the
    same label twice changes nothing. JPEG, PNG, WEBP and TIFF are labelled. BMP cannot be; HEIF, AVIF and JXL
    come back unchanged as well, whose boxes would have to be written anew: give `packet(label, photo.xmp)` to
    the encoder instead.

    Raises SaveError when the data is not a well-formed file of `format`.
    """
    if format in ("BMP", "HEIF", "AVIF", "JXL"):
        return data
    try:
        merged = packet(label, read_xmp(data, format))
        return replace_xmp(data, format, merged)
    except (ValueError, IndexError) as error:
        raise SaveError(
            f"the {format} cannot be labelled ({error}): save it again, or without the label"
        ) from error


def read(data: bytes) -> Label | None:
    """The label of a file of any of the formats; None when it has none or is not well-formed."""
    try:
        return label_of(read_xmp(data))
    except (ValueError, IndexError):
        return None
