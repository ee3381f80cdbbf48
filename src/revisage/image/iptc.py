"""IPTC-IIM records (IIM 4.2), and the Photoshop resources that hold them."""

import struct

_PLACE = frozenset({26, 27, 90, 92, 95, 100, 101})
"""Datasets of record 2 that name a place: content location, city, sublocation, province, country."""

PHOTOSHOP = b"Photoshop 3.0\0"
_IPTC = 0x0404


def clean_iptc(iptc: bytes | None, *, keep_gps: bool) -> bytes | None:
    """The records as far as they are well-formed, without the place unless it is kept; None for none."""
    iptc, kept, at = iptc or b"", [], 0
    while at + 5 <= len(iptc) and iptc[at] == 0x1C:
        record, number = iptc[at + 1], iptc[at + 2]
        length, data = int.from_bytes(iptc[at + 3 : at + 5], "big"), at + 5
        if length & 0x8000:  # an extended dataset: so many bytes of length follow
            data += length & 0x7FFF
            length = int.from_bytes(iptc[at + 5 : data], "big")
        start, at = at, data + length
        if at <= len(iptc) and (keep_gps or record != 2 or number not in _PLACE):
            kept.append(iptc[start:at])
    return b"".join(kept) or None


def of_resources(resources: bytes) -> bytes | None:
    """The records in Photoshop's image resources, or the bytes themselves where they are records."""
    resources = resources.removeprefix(PHOTOSHOP)
    if resources[:1] == b"\x1c":
        return resources
    at = 0
    while resources[at : at + 4] == b"8BIM":
        name = resources[at + 6] + 1 if at + 6 < len(resources) else 0
        start = at + 6 + name + name % 2 + 4
        length = int.from_bytes(resources[start - 4 : start], "big")
        if resources[at + 4 : at + 6] == _IPTC.to_bytes(2, "big"):
            return resources[start : start + length]
        at = start + length + length % 2
    return None


def to_resources(iptc: bytes) -> bytes:
    """Photoshop's image resources with nothing but the records."""
    return b"8BIM" + struct.pack(">HHI", _IPTC, 0, len(iptc)) + iptc + b"\0" * (len(iptc) % 2)
