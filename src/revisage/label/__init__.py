"""The label that says a picture was edited with trained models, inside the file, where viewers look for it.

It is XMP: `Iptc4xmpExt:DigitalSourceType` with IPTC's term for "edited using generative AI", IPTC's AI system
used and its version, `xmp:CreatorTool`, and the tool and models in a namespace of our own. With `Credentials`
a signed label goes into the file as well (`sign`, C2PA), which shows later changes.
"""

from revisage.errors import SaveError
from revisage.files import sha256
from revisage.image.containers import read_xmp, replace_xmp
from revisage.image.formats import HEAD_BYTES, sniff
from revisage.label.signature import Earlier, Signature, signature
from revisage.label.signed import Edit, Original, can_sign, certificate_digest, check, sign
from revisage.label.xmp import DIGITAL_SOURCE_TYPE, UNSEALED, Label, label_of, packet
from revisage.options import Credentials

__all__ = [
    "DIGITAL_SOURCE_TYPE", "Credentials", "Earlier", "Edit", "Label", "Original", "Signature", "add",
    "can_sign", "certificate_digest", "check", "is_changed", "packet", "read", "seal", "sign", "signature",
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


def seal(data: bytes) -> bytes:
    """The file with its SHA-256 in its label, so that `is_changed` sees a later edit that keeps the label.
    One without a label comes back unchanged, and so does one whose packet cannot be put back as it was."""
    label = read(data)
    if label is None:
        return data
    try:
        blank = _with_digest(data, label.digest, UNSEALED)
        digest = sha256(blank)
        sealed = _with_digest(blank, UNSEALED, digest)
        return sealed if _with_digest(sealed, digest, UNSEALED) == blank else data
    except (ValueError, IndexError):
        return data


def is_changed(data: bytes, label: Label) -> bool:
    """Whether a file is another one than its label was sealed in."""
    try:
        return label.digest not in (UNSEALED, sha256(_with_digest(data, label.digest, UNSEALED)))
    except (ValueError, IndexError):
        return True


def _with_digest(data: bytes, old: str, new: str) -> bytes:
    data = data.replace(f">{old}<".encode(), f">{new}<".encode())
    packet = read_xmp(data, "PNG") if sniff(data[:HEAD_BYTES]) == "PNG" else None
    return data if packet is None else replace_xmp(data, "PNG", packet)  # whose chunks have checksums
