"""What a server keeps of photos, seen and erased from outside, whether it runs or not."""

import contextlib
import os
import shutil
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from revisage.server.files import FOLDER
from revisage.server.queue import open_store
from revisage.server.queue.jobs import ID, State
from revisage.server.settings import ServerSettings


@dataclass(frozen=True)
class RetainedJob:
    """What is kept of one job."""

    id: str
    folder: Path  #: its upload, result, report and previews; it may be gone
    bytes: int  #: of these files
    since: float  #: when it came, in seconds since 1970
    state: State | None  #: None for files without a job, which a crash has left or which are just arriving


def retained(settings: ServerSettings) -> list[RetainedJob]:
    """All jobs of a queue, and all folders of jobs, the oldest first. Makes neither folder nor queue.

    Raises StoreUnavailableError when the queue cannot be opened, UsageError when psycopg is not installed.
    """
    root = settings.data / FOLDER
    found: dict[str, RetainedJob] = {}
    with contextlib.suppress(FileNotFoundError):
        for entry in os.scandir(root):
            if ID.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                size, since = _size(Path(entry.path))
                found[entry.name] = RetainedJob(entry.name, Path(entry.path), size, since, None)
    if settings.has_queue:
        with contextlib.closing(open_store(settings)) as store:
            for job in store.jobs():
                size = found[job.id].bytes if job.id in found else 0
                found[job.id] = RetainedJob(job.id, root / job.id, size, job.created, job.state)
    return sorted(found.values(), key=lambda one: one.since)


def erase(settings: ServerSettings, ids: Collection[str]) -> dict[str, str]:
    """Forget jobs in any state, and all their files; as `DELETE /v1/jobs/ID` does for one.

    Returns the ids whose files could not be removed, with the reason. Raises like `retained`.
    """
    refused = {}
    if settings.has_queue:
        with contextlib.closing(open_store(settings)) as store:
            for id in ids:
                store.erase(id)  # first: a worker at it then drops its work
    for id in ids:
        assert ID.fullmatch(id), id
        try:
            shutil.rmtree(settings.data / FOLDER / id)
        except FileNotFoundError:
            pass
        except OSError as error:
            refused[id] = error.strerror or str(error)
    return refused


def _size(folder: Path) -> tuple[int, float]:
    """Bytes of a folder's files, and the time of the oldest; now where it has none."""
    sizes, times = [0], [time.time()]
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            status = path.stat(follow_symlinks=False)
            sizes.append(status.st_size)
            times.append(status.st_mtime)
    return sum(sizes), min(times)
