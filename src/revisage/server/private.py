"""What a server keeps from other accounts of its machine, and what its processes may take."""

import contextlib
import os
import stat
import sys
from pathlib import Path

import psutil

from revisage.errors import UsageError


def keep_private() -> None:
    """Have this process make files for its account only, and leave no image of its memory when it dies."""
    os.umask(0o077)
    if sys.platform != "win32":
        import resource

        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def make_folder(folder: Path) -> None:
    """The folder of a server, for its account only where it is new; others may read an older one, for it may
    hold more. Raises UsageError where it cannot be made, or where others could replace files in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise UsageError(f"{folder} cannot be made a folder ({error.strerror}): choose another") from None
    if os.name == "posix" and folder.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise UsageError(f"other accounts may write to {folder}: `chmod 700 {folder}`, or choose another")


def close_file(path: Path) -> None:
    """Make a file if there is none, and let only its account read it. Raises OSError."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if os.name == "posix" and os.fstat(handle).st_mode & 0o077:
            os.fchmod(handle, 0o600)
    finally:
        os.close(handle)


def bound(memory: int) -> None:
    """Let this process take so many more bytes of address space, as far as the system can."""
    if sys.platform != "linux":
        return
    import resource

    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    most = psutil.Process().memory_info().vms + memory
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))
