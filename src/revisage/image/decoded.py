"""What decoding makes of a file, on its way from the decoding process to a Photo."""

from dataclasses import dataclass

from revisage.errors import PhotoError, PhotoTooLargeError
from revisage.image.planes import Planes


@dataclass(frozen=True, eq=False)
class Decoded:
    """Everything of a Photo, with a gray picture still as one channel (that is what crosses the pipe)."""

    planes: Planes
    format: str
    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    texts: tuple[tuple[str, str], ...] = ()
    dpi: tuple[float, float] | None = None
    cicp: tuple[int, int] | None = None
    orientation: int = 1
    pages: int = 1
    there: float = 1.0
    notes: tuple[str, ...] = ()


def check_pixels(size: tuple[int, int], max_pixels: int) -> None:
    """Raises PhotoTooLargeError above the limit, PhotoError when a side is not positive."""
    width, height = size
    if width < 1 or height < 1:
        raise PhotoError(f"its header gives an impossible size of {width}×{height} pixels")
    if width * height > max_pixels:
        raise PhotoTooLargeError(
            f"it has {width}×{height} pixels, more than the limit of {max_pixels:,}:"
            " raise the limit (--max-pixels) or reduce the photo"
        )


def check_page(page: int, pages: int) -> None:
    """Raises PhotoError for a page that is not there; pages are counted from 0."""
    if not 0 <= page < pages:
        raise PhotoError(f"it has {pages} pages, and no page {page + 1}")
