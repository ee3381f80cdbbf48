"""What a file says beside its picture."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Metadata:
    """In the form that one file has, or gets; see `revisage.image.Photo`."""

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    texts: tuple[tuple[str, str], ...] = ()
    cicp: tuple[int, int] | None = None
    dpi: tuple[float, float] | None = None
