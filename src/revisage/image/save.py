"""A Photo into a file, whole or not at all."""

from collections.abc import Callable
from pathlib import Path

from revisage.files import write_atomically
from revisage.image.encode import encode
from revisage.image.formats import format_for
from revisage.image.photo import Photo
from revisage.options import QUALITY


def save(
    photo: Photo,
    path: str | Path,
    *,
    quality: int = QUALITY,
    keep_gps: bool = False,
    finish: Callable[[bytes, str], bytes] | None = None,
    like: Path | None = None,
) -> Path:
    """Write the photo to `path`, in the format of its extension, and return the path.

    Missing folders are made. `finish(data, format)` may change the encoded bytes, for example label them.
    Whatever goes wrong, the path holds either what it held before or the complete new file, which no account
    may read that may not read the file `like`. Which path is safe to write is the caller's decision
    (`output_paths` makes it for many photos).

    Raises UsageError for an extension that is no format, SaveError when it cannot be encoded or written.
    """
    path = Path(path)
    format = format_for(path)
    data = encode(photo, format=format, quality=quality, keep_gps=keep_gps)
    if finish is not None:
        data = finish(data, format)
    write_atomically(path, data, like=like)
    return path
