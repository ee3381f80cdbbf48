"""A Photo into a file, whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from revisage.errors import SaveError, UsageError
from revisage.image.encode import encode
from revisage.image.formats import NAMES, format_of
from revisage.image.photo import Photo

# Of files that are being written: what a killed process leaves is known by them.
TEMPORARY = ".revisage-"
PART = ".part"


def save(
    photo: Photo,
    path: str | Path,
    *,
    quality: int = 95,
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
    format = format_of(path)
    if format is None:
        raise UsageError(f"cannot tell the format of {path.name!r}: end it with the extension of {NAMES}")
    data = encode(photo, format=format, quality=quality, keep_gps=keep_gps)
    if finish is not None:
        data = finish(data, format)
    write_atomically(path, data, like=like)
    return path


def write_atomically(path: Path, data: bytes, *, like: Path | None = None) -> None:
    """Write a file by a temporary one beside it, fsync and rename.

    Its mode follows the umask, without what the file `like`, if it is there, does not allow others.

    Raises SaveError, leaving nothing partial.
    """
    # The name tells the process, so that what a dead one left can be found. It is short whatever the
    # target's, and hidden; the mode follows the umask, unlike tempfile's 0600.
    temporary = path.parent / f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(8)}{PART}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as file:
                _close(file.fileno(), like)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise SaveError(f"{path} cannot be written ({reason})") from error
    _sync_folder(path.parent)


def _close(file: int, like: Path | None) -> None:
    if like is None or os.name != "posix":
        return
    with contextlib.suppress(FileNotFoundError):
        allowed = like.stat().st_mode | 0o600
        os.fchmod(file, os.fstat(file).st_mode & allowed & 0o777)


def copy_date(source: Path, target: Path) -> None:
    """Let `target` have been changed last when `source` was, where the file system can tell so."""
    with contextlib.suppress(OSError):
        date = source.stat().st_mtime_ns
        os.utime(target, ns=(date, date))


def sweep(folder: Path) -> int:
    """Remove what killed runs left of `write_atomically` below a folder; how many files that were.

    The caller makes sure that nobody else writes there.
    """
    count = 0
    for path in folder.rglob(f"{TEMPORARY}*{PART}"):
        path.unlink(missing_ok=True)
        count += 1
    return count


def _sync_folder(folder: Path) -> None:
    # Makes the rename itself durable; Windows cannot open a folder, and some network drives refuse.
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
