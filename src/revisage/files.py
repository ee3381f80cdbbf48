"""Files of this machine: written whole or not at all, known by their SHA-256, and who may read them."""

import contextlib
import hashlib
import os
import secrets
import stat
from pathlib import Path, PureWindowsPath

from revisage.errors import SaveError, UsageError, did_you_mean, one_line

# Of files that are being written: what a killed process leaves is known by them.
TEMPORARY = ".revisage-"
PART = ".part"


def typed(text: str) -> Path:
    """The path that somebody has typed; ~ is their own folder, also where no shell has said so. Raises
    UsageError for nothing, an address of the web, a path of Windows elsewhere, and one `out_of_reach`."""
    if not text:
        raise UsageError("the name of a file or folder is empty")
    if text.startswith(("http://", "https://")):
        raise UsageError(f"{text} is an address of the web: give a file of this machine")
    path, windows = Path(os.path.expanduser(text)), PureWindowsPath(text)
    if unreachable := out_of_reach(path):
        raise unreachable
    if os.name != "nt" and windows.is_absolute() and windows.drive[1:] == ":" and not path.exists():
        here = Path("/mnt", windows.drive[0].lower(), *windows.parts[1:])
        raise UsageError(f"{text} is a path of Windows: give one of this system, in WSL {here}")
    return path


def out_of_reach(path: Path) -> UsageError | None:
    """What to raise for a path that the system does not look for: its name is too long, or leads through a
    folder that is closed to this account."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a NUL in the name
        return None
    except OSError as error:
        return UsageError(f"{one_line(str(path), 80)} cannot be used ({error.strerror or error})")
    return None


def absent(path: Path) -> UsageError:
    """What to raise for a file or folder that is not there: it names the one that may be meant."""
    if unreachable := out_of_reach(path):
        return unreachable
    if path.is_symlink():
        return UsageError(f"{path} is a link to {os.readlink(path)}, which does not exist")
    beside: list[str] = []
    with contextlib.suppress(OSError):
        beside = [name for name in os.listdir(path.parent) if did_you_mean(path.stem, [Path(name).stem])]
    turned = Path(str(path).replace("\\", "/"))
    hint = f": did you mean {turned}?" if turned.exists() else did_you_mean(path.name, beside)
    return UsageError(f"{path} does not exist{hint}")


def write_atomically(path: Path, data: bytes, *, like: Path | None = None) -> None:
    """Write a file by a temporary one beside it, fsync and rename; missing folders are made.

    Its mode follows the umask, without what the file `like`, if it is there, does not allow others.

    Raises SaveError, leaving nothing partial.
    """
    # The name tells the process, so that what a dead one left can be found. It is short whatever the
    # target's, and hidden; the mode follows the umask, unlike tempfile's 0600.
    temporary = path.parent / f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(8)}{PART}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            close_to_others(file.fileno(), like)
            file.write(data)
        publish(temporary, path)
    except (OSError, ValueError) as error:
        raise SaveError(f"{path} cannot be written ({getattr(error, 'strerror', None) or error})") from error
    finally:
        with contextlib.suppress(OSError, ValueError):  # mostly because it has moved
            temporary.unlink()


def publish(temporary: Path, target: Path) -> None:
    """Move a whole file to its name in one step, after it has reached the disk. Raises OSError."""
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    temporary.replace(target)
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Make renames and new names in a folder durable, where the system can."""
    with contextlib.suppress(OSError):  # Windows cannot open a folder, and some network drives refuse
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def claim(folder: Path, command: str, *, only_check: bool = False) -> None:
    """Take a folder for what a command writes: one that is new, empty, or was taken by it before. Raises
    UsageError for another, SaveError. `only_check` writes nothing: that another folder is told first."""
    mark = folder / f"{TEMPORARY}{command}"
    if mark.is_file():
        return
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is no empty folder, nor one of `revisage {command}`: choose another")
    if not only_check:
        write_atomically(mark, b"")


def sweep(folder: Path) -> None:
    """Remove what killed runs left of `write_atomically` below a folder, where nobody else writes."""
    for path in folder.rglob(f"{TEMPORARY}*{PART}"):
        path.unlink(missing_ok=True)


def sha256(source: Path | bytes) -> str:
    """SHA-256 in hex of a file or of bytes. Raises OSError."""
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    with source.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_to_others(path: Path) -> bool:
    """Whether accounts outside a file's group may read it, or any but its owner write it.

    False on Windows, whose files say so elsewhere. Raises OSError.
    """
    loose = stat.S_IRWXO | stat.S_IWGRP
    return os.name == "posix" and bool(path.stat().st_mode & loose)


def close_to_others(file: int, like: Path | None) -> None:
    """Take from an open file's mode what the file `like`, if it is there, does not allow others."""
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
