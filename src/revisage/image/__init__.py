"""Photos in and out of files: decoding that a hostile file cannot harm, encoding that keeps what it had."""

from revisage.image.decode import decode, from_array, from_pillow
from revisage.image.encode import can_encode, encode, left_out, save, to_pillow
from revisage.image.formats import FORMAT_OF_EXTENSION, format_for, format_of
from revisage.image.isolation.pool import protection
from revisage.image.names import output_paths
from revisage.image.photo import Metadata, Photo, eight_bits
from revisage.image.sidecar import find_sidecar, sidecar_path, with_sidecar
from revisage.options import DecodeLimits

__all__ = [
    "FORMAT_OF_EXTENSION", "DecodeLimits", "Metadata", "Photo", "can_encode", "decode", "eight_bits",
    "encode", "find_sidecar", "format_for", "format_of", "from_array", "from_pillow", "left_out",
    "output_paths", "protection", "save", "sidecar_path", "to_pillow", "with_sidecar",
]  # fmt: skip
