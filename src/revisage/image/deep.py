"""More than 8 bits a channel, where Pillow keeps only 8: PNG and AVIF by imagecodecs, HEIF by pillow-heif."""

import io
from collections.abc import Callable

import numpy as np

from revisage.image.photo import in_bands
from revisage.image.planes import Planes, planes_of, scale_wide


def read(data: bytes, format: str, bits: int, icc: bytes | None, page: int = 0) -> Planes:
    """The planes of a file's first picture, of `bits` a sample; of JXL those of any page and depth."""
    import imagecodecs

    if format == "PNG":
        array = imagecodecs.png_decode(data)  # a tRNS key comes back as alpha
    elif format == "JXL":
        array = imagecodecs.jpegxl_decode(data, index=page)
        array = array if array.dtype == np.uint8 else scale_wide(array)
    elif format == "JPEG2000":
        array = _full_range(imagecodecs.jpeg2k_decode(data), bits)
    elif format == "AVIF":
        array = _full_range(imagecodecs.avif_decode(data, index=0), bits)
    else:
        import pillow_heif

        image = pillow_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=False)
        array = _full_range(np.asarray(image) >> (16 - bits), bits)
    return planes_of(array, icc)


def avif_bits(data: bytes) -> int:
    """Bits a sample by the AV1 configuration (AV1 in ISOBMFF, 2.3.3): 8, 10 or 12."""
    at = data.find(b"av1C")
    flags = data[at + 6] if 0 <= at < len(data) - 6 else 0
    return (12 if flags & 0x20 else 10) if flags & 0x40 else 8


def jxl_pages(data: bytes) -> int:
    """Pictures of an animation; 1 of any other file."""
    import imagecodecs

    return len(imagecodecs.jpegxl_decode(data)) if _jxl_header(data)[1] else 1


def _jxl_header(data: bytes) -> tuple[int, bool]:
    """Bits a sample, 16 for floats and where it takes more to tell; whether it is animated (18181-1, D)."""
    at = data.find(b"\xff\x0a", 0 if data[:2] == b"\xff\x0a" else 32) + 2
    bits, place = int.from_bytes(data[at : at + 64], "little"), 0

    def take(count: int) -> int:
        nonlocal place
        place += count
        return bits >> (place - count) & ((1 << count) - 1)

    def skip_size() -> None:
        small = take(1)
        for last in (False, True):
            take(5) if small else take((9, 13, 18, 30)[take(2)])
            if not last and take(3):  # the width follows from a ratio
                return

    skip_size()
    if take(1):  # all by default
        return 8, False
    if take(1):  # extra fields
        take(3)  # orientation
        if take(1):
            skip_size()
        if take(1):  # a preview, whose size would have to be read
            return 16, False
        if take(1):
            return 16, True
    if take(1):  # floats
        return 16, False
    choice = take(2)
    return ((8, 10, 12)[choice] if choice < 3 else 1 + take(6)), False


def jpeg2000_bits(data: bytes) -> int:
    """Bits of the first component by the SIZ marker (ISO/IEC 15444-1, A.5.1); 8 if it is signed or absent."""
    at = data.find(b"\xff\x4f\xff\x51")
    depth = data[at + 42] if 0 <= at < len(data) - 42 else 7
    return depth + 1 if depth < 16 else 8


def _full_range(array: np.ndarray, bits: int) -> np.ndarray:
    """Samples of so many bits to uint16 over the full range."""
    top = (1 << bits) - 1
    return in_bands(lambda band: (band.astype(np.uint32) * 65535 + top // 2) // top, np.uint16, array)


BITS: dict[str, Callable[[bytes], int]] = {
    "PNG": lambda data: data[24] if len(data) > 24 else 8,
    "AVIF": avif_bits,
    "JXL": lambda data: _jxl_header(data)[0],
    "JPEG2000": jpeg2000_bits,
}
"""Bits a sample by the header of a file, for those of which Pillow does not tell them."""
