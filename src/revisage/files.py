"""What files of this machine say of themselves."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def open_to_others(path: Path) -> bool:
    """Whether accounts outside a file's group may read it, or any but its owner write it.

    False on Windows, whose files say so elsewhere. Raises OSError.
    """
    loose = stat.S_IRWXO | stat.S_IWGRP
    return os.name == "posix" and bool(path.stat().st_mode & loose)
