"""Files of this machine (`Path`), and of any place that fsspec reaches (`str`, a URL), by the same few calls.

Writing to a URL is whole or not at all where the place publishes an object when its upload ends, as object
stores do; elsewhere (sftp, a mounted drive by URL) a hidden temporary file is moved into place.
"""

import hashlib
import secrets
import stat
import sys
from pathlib import Path, PurePosixPath
from typing import Any

from revisage.batch.jobs import Location
from revisage.errors import PhotoError, PhotoTooLargeError, SaveError, UsageError
from revisage.files import PART, TEMPORARY, sha256, typed, write_atomically
from revisage.image import decode, find_sidecar
from revisage.label import results

OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "memory"})

STANDARD = "-"  #: standard input as a source, standard output as a target

_STANDARD = frozenset({STANDARD, "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"})
_STANDARD_OUT = frozenset({STANDARD, "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"})


def is_stream(target: Location) -> bool:
    """Whether what is written there goes on to somewhere else: standard output, a named pipe, a device."""
    if isinstance(target, str):
        return target == STANDARD
    try:
        mode = target.stat().st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)


def destination(text: str) -> Location:
    """What the place for results means on the command line."""
    return STANDARD if text in _STANDARD_OUT else location(text)


def location(text: str) -> Location:
    """What an argument of the command line means. Raises UsageError as `typed`."""
    if text in _STANDARD:
        return STANDARD
    if text.startswith(("file://", "local://")):
        return Path(text.split("://", 1)[1])
    return text if "://" in text and not text.startswith("http") else typed(text)


def stamp(source: Location) -> str | None:
    """Size and time of a file and of the XMP beside it, and what else tells its versions apart; None when it
    cannot be seen. Equal stamps are taken for equal contents, as git and rsync do."""
    if source == STANDARD:
        return None
    try:
        if isinstance(source, Path):
            statuses = [file.stat() for file in _files(source)]
            return ":".join(f"{status.st_size}:{status.st_mtime_ns}" for status in statuses)
        info = filesystem(source).info(source)
    except OSError:
        return None
    marks = [info.get(key) for key in ("size", "ETag", "etag", "md5Hash", "mtime", "LastModified", "created")]
    return ":".join("" if mark is None else str(mark) for mark in marks)


def _files(source: Path) -> list[Path]:
    beside = find_sidecar(source)
    return [source] if beside is None else [source, beside]


def digest(source: Location) -> str | None:
    """SHA-256 in hex of a file's bytes, and of those of the XMP beside it; None when they cannot be read."""
    if source == STANDARD:
        return None
    try:
        if isinstance(source, Path):
            if not stat.S_ISREG(source.stat().st_mode):  # a named pipe would block
                return None
            return "".join(sha256(file) for file in _files(source))
        with filesystem(source).open(source, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except (OSError, ValueError):
        return None


def same(first: Location, second: Location) -> bool:
    """Whether two names are of one file that is there."""
    if isinstance(first, Path) and isinstance(second, Path):
        try:
            return first.samefile(second)
        except OSError:
            return False
    return first == second != STANDARD


def objection(target: Location, source: Location, *, sure: bool = False) -> str | None:
    """Why a result of `source` may not go there (`results.objection`); None where it may, as to a stream."""
    try:
        if is_stream(target):
            return None
        if isinstance(target, Path):
            return results.objection_at(target, source, sure=sure)
        there = filesystem(target).exists(target)
        return results.objection(read(target), source, sure=sure) if there else None
    except OSError:
        return results.OTHERS


def is_damaged(target: Location) -> bool:
    """Whether a file is there that is no whole picture."""
    try:
        decode(read(target))
    except (OSError, PhotoTooLargeError):
        return False
    except PhotoError:
        return True
    return False


def size(target: Location) -> int | None:
    """Bytes of a file; None when there is none."""
    try:
        if isinstance(target, Path):
            return target.stat().st_size
        return int(filesystem(target).info(target)["size"])
    except OSError:
        return None


def read(source: Location) -> bytes:
    """The bytes of a file, or those of standard input. Raises OSError."""
    if isinstance(source, Path):
        return source.read_bytes()
    if source == STANDARD:
        return sys.stdin.buffer.read()
    data: bytes = filesystem(source).cat_file(source)
    return data


def write(target: Location, data: bytes, *, like: Location | None = None) -> None:
    """Write a whole file or none; folders are made. Raises SaveError. On this machine no account may read it
    that may not read the file `like`."""
    if isinstance(target, Path) and not is_stream(target):
        write_atomically(target, data, like=like if isinstance(like, Path) else None)
        return
    try:
        if isinstance(target, Path):
            with target.open("wb", buffering=0) as stream:
                stream.write(data)
        elif target == STANDARD:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        else:
            _send(target, data)
    except OSError as error:
        raise SaveError(f"{target} cannot be written ({error.strerror or error})") from error


def _send(url: str, data: bytes) -> None:
    files, (scheme, _, rest) = filesystem(url), url.partition("://")
    if scheme in OBJECT_STORES:
        files.pipe_file(url, data)
        return
    folder = PurePosixPath(rest).parent
    temporary = f"{scheme}://{folder / (TEMPORARY + secrets.token_hex(8) + PART)}"
    files.makedirs(f"{scheme}://{folder}", exist_ok=True)
    try:
        files.pipe_file(temporary, data)
        files.mv(temporary, url)
    except BaseException:
        if files.exists(temporary):
            files.rm_file(temporary)
        raise


def below(folder: str) -> list[str]:
    """The files below a URL, relative to it, sorted. Raises UsageError when it cannot be listed."""
    files = filesystem(folder)
    try:
        root = str(files._strip_protocol(folder)).rstrip("/")
        return sorted(str(path)[len(root) :].lstrip("/") for path in files.find(root))
    except OSError as error:
        raise UsageError(f"{folder} cannot be listed ({error.strerror or error})") from None


def discard(target: Location, writer: int | None) -> None:
    """Remove what the dead process `writer` of this machine left half written beside `target`."""
    if isinstance(target, Path):
        for path in target.parent.glob(f"{TEMPORARY}{writer}-*{PART}"):
            path.unlink(missing_ok=True)


def filesystem(url: str) -> Any:
    """The fsspec file system of a URL. Raises UsageError when a package for it is missing."""
    try:
        from fsspec.core import url_to_fs

        return url_to_fs(url)[0]
    except ImportError as error:
        how = '`pip install "revisage[ray]"`, and s3fs for s3://, gcsfs for gs://'
        raise UsageError(f"{url} needs another package ({error}): {how}") from None
    except ValueError as error:
        raise UsageError(f"{url}: {error}") from None
