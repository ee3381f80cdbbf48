"""How much of the disk the photos and results of a server may take."""

import contextlib
import os
import shutil
import threading
from pathlib import Path

from revisage.errors import RevisageError

MEASURE_SECONDS = 10.0  #: how often what lies on the disk is counted anew; in between, what arrives is added


class NoRoomError(RevisageError):
    """The folder holds as much as it may, or the disk is nearly full."""


class Quota:
    """Bytes below one folder, of which its files may have `most`, and `floor` must stay free on its disk. May
    be used from any thread."""

    def __init__(self, root: Path, *, most: int, floor: int) -> None:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._root, self._most, self._floor = root, most, floor
        self._lock = threading.Lock()
        self._counted = 0
        self._since = 0
        self.measure()

    def measure(self) -> None:
        """Count what lies on the disk, whoever put it there or took it away."""
        with self._lock:
            before = self._since
        counted = _size(self._root)
        with self._lock:
            self._counted = counted
            self._since -= before

    def take(self, count: int) -> None:
        """Book bytes that are about to be written. Raises NoRoomError when there is no room for them."""
        with self._lock:
            if self._counted + self._since + count > self._most:
                raise NoRoomError(f"the folder holds {self._most:,} bytes, which is all it may")
            if shutil.disk_usage(self._root).free - count < self._floor:
                raise NoRoomError(f"less than {self._floor:,} bytes are free on the disk")
            self._since += count

    def give_back(self, count: int) -> None:
        """Book bytes as removed that were taken shortly before."""
        with self._lock:
            self._since -= count


def _size(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):  # gone meanwhile
                total += os.lstat(os.path.join(parent, name)).st_size
    return total
