"""Photos, results and reports on disk: a folder for each job, nothing partial ever visible.

The result's key holds what made it (the upload's SHA-256 and the options), so an attempt that died between
writing the result and reporting it is not repeated.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Literal

from revisage.files import publish, sha256, sync_folder, write_atomically
from revisage.image.formats import EXTENSION
from revisage.server.options import JobOptions
from revisage.server.problems import no_job
from revisage.server.queue.jobs import ID
from revisage.version import __version__

FOLDER = "jobs"  #: where the folders of jobs are, below the server's own
ORPHAN_SECONDS = 600.0  #: age from which a folder without a job is taken for what a crash has left
CHUNK = 1 << 18  #: bytes read or written at once
BATCH = 500  #: ids in one question to the store
MEASURE_SECONDS = 10.0  #: how often what lies on the disk is counted anew; in between, what arrives is added

Preview = Literal["source", "before", "after", "without", "with", "mask", "thumb", "sketch"]
"""Pictures of the photo as it was read, where it was turned or cropped; of what was restored; of its result;
of the result with no face restored and with all of them; what was repaired, white on black; the result in
small; and the restored faces on the plainly enlarged photo, while the rest is still cleaned."""


def result_key(digest: str, options: JobOptions) -> str:
    """What names a result: 32 hex digits of SHA-256 over the photo, the options and the version."""
    text = f"{__version__}\n{digest}\n{options.to_json()}"
    return sha256(text.encode())[:32]


class Files:
    """The files of all jobs below one folder; uploads keep to a quota where there is one."""

    def __init__(self, root: Path, quota: Quota | None = None) -> None:
        self._root = root / FOLDER
        self._quota = quota
        root.mkdir(parents=True, exist_ok=True, mode=0o700)  # other accounts have no business with photos
        self._root.mkdir(exist_ok=True, mode=0o700)

    def folder(self, id: str) -> Path:
        """Where a job's files are."""
        assert ID.fullmatch(id), id
        return self._root / id

    def upload(self, id: str) -> Path:
        """The photo as it came."""
        return self.folder(id) / "upload"

    def receive(self, id: str) -> Upload:
        """A new upload, to be written and committed."""
        return Upload(self.upload(id), self._quota)

    def copy_upload(self, source: str, target: str) -> None:
        """Give a job the upload of another one. Raises ProblemError 404 when that was erased."""
        copy = self.upload(target)
        copy.parent.mkdir(exist_ok=True)
        try:
            os.link(self.upload(source), copy)
        except FileNotFoundError:
            copy.parent.rmdir()
            raise no_job() from None
        except OSError:  # a file system without hard links
            with self.upload(source).open("rb") as file, self.receive(target) as upload:
                shutil.copyfileobj(file, upload, CHUNK)
                upload.commit()
        sync_folder(copy.parent)

    def publish(self, id: str, key: str, result: bytes, format: str, report: dict[str, Any]) -> None:
        """Write a result whose previews are there; the report comes last, and makes the result whole."""
        folder = self.folder(id)
        write_atomically(folder / (key + EXTENSION[format]), result)
        write_atomically(folder / f"{key}.json", json.dumps(report).encode())

    def publish_previews(self, id: str, key: str, previews: dict[Preview, bytes]) -> None:
        """Write JPEGs of a result, which may not be there yet."""
        for name, data in previews.items():
            write_atomically(self.folder(id) / f"{key}.{name}", data)

    def is_published(self, id: str, key: str) -> bool:
        """Whether an earlier attempt has written the whole result."""
        return (self.folder(id) / f"{key}.json").exists()

    def report(self, id: str, key: str) -> dict[str, Any]:
        """The report of a result. Raises ProblemError 404 when it was erased."""
        try:
            report: dict[str, Any] = json.loads((self.folder(id) / f"{key}.json").read_bytes())
        except FileNotFoundError:
            raise no_job() from None
        return report

    def result(self, id: str, key: str) -> tuple[BinaryIO, str]:
        """The result, opened, and its format. Raises ProblemError 404 when it was erased."""
        for format, extension in EXTENSION.items():
            with contextlib.suppress(FileNotFoundError):
                return (self.folder(id) / (key + extension)).open("rb"), format
        raise no_job()

    def preview(self, id: str, key: str, name: Preview) -> bytes:
        """A JPEG. Raises FileNotFoundError when there is none."""
        return (self.folder(id) / f"{key}.{name}").read_bytes()

    def erase(self, id: str) -> None:
        """Remove all of a job's files."""
        shutil.rmtree(self.folder(id), ignore_errors=True)

    def sweep(self, exists: Callable[[list[str]], set[str]]) -> int:
        """Erase what crashes have left: old folders for which no job exists. Returns how many."""
        old = time.time() - ORPHAN_SECONDS
        ids = []
        for entry in os.scandir(self._root):
            with contextlib.suppress(FileNotFoundError):
                if ID.fullmatch(entry.name) and entry.stat().st_mtime < old:
                    ids.append(entry.name)
        known = set().union(*(exists(ids[start : start + BATCH]) for start in range(0, len(ids), BATCH)))
        orphans = [id for id in ids if id not in known]
        for id in orphans:
            self.erase(id)
        return len(orphans)


class Upload(contextlib.AbstractContextManager["Upload"]):
    """A file being received. Left without `commit`, it takes its folder with it."""

    def __init__(self, target: Path, quota: Quota | None) -> None:
        self._target = target
        self._quota = quota
        self._taken = 0
        self._digest = hashlib.sha256()
        self._done = False
        target.parent.mkdir(parents=True, exist_ok=True)
        self._temporary = target.with_name(".upload.part")
        self._file = self._temporary.open("wb")

    def __exit__(self, *error: object) -> None:
        self._file.close()
        if not self._done:
            shutil.rmtree(self._target.parent, ignore_errors=True)
            if self._quota is not None:
                self._quota.give_back(self._taken)

    def take(self, count: int) -> None:
        """Book bytes that have arrived for it. Raises NoRoomError."""
        if self._quota is not None:
            self._quota.take(count)
            self._taken += count

    def write(self, chunk: bytes) -> None:
        """Append to it."""
        self._digest.update(chunk)
        self._file.write(chunk)

    def head(self, length: int) -> bytes:
        """Its first bytes."""
        self._file.flush()
        with self._temporary.open("rb") as file:
            return file.read(length)

    def commit(self) -> str:
        """Make it durable under its name; returns its SHA-256 in hex."""
        self._file.close()
        publish(self._temporary, self._target)
        sync_folder(self._target.parent.parent)
        self._done = True
        return self._digest.hexdigest()


class NoRoomError(OSError):
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
