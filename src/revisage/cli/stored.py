"""`revisage stored`: show what Revisage keeps on this machine, and erase it."""

import contextlib
import math
import re
import shutil
import sqlite3
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal, get_args

import psutil
from annotated_types import Interval

from revisage import server, zoo
from revisage.batch import layout, manifest
from revisage.cli._parse import parse
from revisage.cli._say import printable, say
from revisage.errors import UsageError
from revisage.files import TEMPORARY, absent
from revisage.label import results
from revisage.options import Arg
from revisage.runtime import selfcheck
from revisage.server.files import FOLDER
from revisage.server.queue import open_store
from revisage.server.queue.jobs import ID

Kind = Literal["photos", "records", "models", "caches"]

OF_A_PROCESS = re.compile(re.escape(TEMPORARY) + r"(\d+)-.+")
"""A file that a process writes before it renames it, or a folder for its samples."""

_STATES = {
    "queued": "waiting at the server",
    "running": "in work at the server",
    "done": "restored by the server",
    "failed": "failed at the server",
    "poisoned": "given up by the server",
    None: "at the server without a job: arriving, or left by a crash",
}


@dataclass(frozen=True)
class Options:
    """Show what Revisage keeps on this machine, with size and age; --erase erases it.

    photos: uploads, results and previews of the server, and what killed runs have left half done. records:
    the server's queue, and what --resume knows of an output folder. models: pulled and imported ones.
    caches: what was measured of this machine. Your own photos and results are never touched.
    """

    folders: Annotated[tuple[Path, ...], Arg(metavar="DIR", positional=True)] = ()
    """Output folders of `revisage restore` to look into as well."""
    data: Annotated[Path | None, Arg(metavar="DIR")] = None
    """Folder of the server, as given to `revisage serve`."""
    database: Annotated[str | None, Arg(metavar="postgresql://…")] = None
    """Queue of the server, as given to `revisage serve`."""
    only: tuple[Kind, ...] = get_args(Kind)
    """Kinds to show or erase; all if not given."""
    older_than: Annotated[float, Interval(ge=0), Arg(metavar="HOURS")] = 0.0
    """Leave out what is younger."""
    erase: bool = False
    """Erase what is shown, after asking."""
    yes: bool = False
    """Erase without asking."""


@dataclass(frozen=True)
class Item:
    """One thing that is kept."""

    kind: Kind
    what: str  #: in words; things of equal words and place share a line
    path: Path  #: of a file or a folder
    bytes: int
    since: float  #: when it was last changed, of a job when it came; in seconds since 1970
    job: str | None = None  #: its id, where it is a job of the server


def main(argv: Sequence[str]) -> int:
    """Run the command; 0: shown or erased, 1: something could not be erased, 2: bad usage."""
    options = parse(Options, "stored", argv)
    settings = server.ServerSettings(options.data or server.default_data(), database=options.database)
    for folder in filter(None, (*options.folders, options.data)):
        if not folder.is_dir():
            raise UsageError(f"{folder} is no folder") if folder.exists() else absent(folder)
    latest = time.time() - 3600 * options.older_than if options.older_than else math.inf
    found = stored(settings, options.folders)
    items = [item for item in found if item.kind in options.only and item.since <= latest]
    print(table(items))
    if not items or not options.erase:
        return 0
    if not options.yes:
        if not sys.stdin.isatty():
            raise UsageError("--erase asks before it erases, and nobody can answer here: give --yes as well")
        answer = input(f"Erase these {len(items)} ({_size(items)})? [y/N] ")
        if answer.strip().lower() not in ("y", "yes"):
            print("nothing was erased")
            return 0
    refused = erase(items, settings)
    for path, reason in refused.items():
        say(f"revisage stored: {path} was not erased: {reason}", error=True)
    say(f"erased: {len(items) - len(refused)} of {len(items)}")
    return 1 if refused else 0


def stored(settings: server.ServerSettings, folders: Sequence[Path] = ()) -> list[Item]:
    """All that is kept on this machine and below `folders`. Raises StoreUnavailableError when the server's
    queue cannot be read."""
    items = _jobs(settings) + _files("records", "server's queue", [settings.queue_file])
    samples = Path(tempfile.gettempdir()).glob(f"{TEMPORARY}*")
    items += _files("photos", "left by `bench archive`", _left_behind(samples))
    for folder in folders:
        files = _left_behind(folder.rglob(f"{TEMPORARY}*"))
        items += _files("photos", "half written by a killed run", files)
        items += _files("records", "what --resume knows", sorted(folder.rglob(manifest.NAME)))
    items += _files("models", "model", sorted(zoo.user_folder().glob("*")))
    items += _files("caches", "whether half precision is good enough", sorted(selfcheck.folder().glob("*")))
    items += _files("caches", "how many processes are fastest", [layout.choices_file()])
    items += _files("caches", "digests of results and of which photos they are", [results.results_file()])
    return items


def table(items: Sequence[Item]) -> str:
    """A line for each place and sort of thing; a model has its own."""
    if not items:
        return "nothing is stored"
    groups: dict[tuple[str, str, Path], list[Item]] = defaultdict(list)
    for item in items:
        alone = item.kind in ("models", "records")
        groups[item.kind, item.what, item.path if alone else item.path.parent].append(item)
    rows = [("KIND", "COUNT", "SIZE", "OLDEST", "WHAT")]
    for (kind, what, place), group in groups.items():
        oldest = _age(time.time() - min(item.since for item in group))
        rows.append((kind, str(len(group)), _size(group), oldest, printable(f"{what}: {place}")))
    rows.append(("all", str(len(items)), _size(items), "", ""))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    line = "".join(f"{{:<{width}}}  " for width in widths) + "{}"
    return "\n".join(line.format(*row).rstrip() for row in rows)


def erase(items: Sequence[Item], settings: server.ServerSettings) -> dict[Path, str]:
    """Erase; returns what could not be, with the reason. Raises StoreUnavailableError when the server's queue
    cannot be written."""
    jobs = [item.job for item in items if item.job is not None]
    if jobs and settings.has_queue:
        with contextlib.closing(open_store(settings)) as store:
            for id in jobs:
                store.erase(id)  # before its files: a worker at it then drops its work
    refused = {}
    for item in items:
        try:
            if item.path.suffix == ".sqlite":
                _erase_database(item.path)
            elif item.path.is_dir() and not item.path.is_symlink():
                shutil.rmtree(item.path)
            else:
                item.path.unlink(missing_ok=True)
        except FileNotFoundError:  # gone meanwhile
            pass
        except OSError as error:
            refused[item.path] = error.strerror or str(error)
    return refused


def _jobs(settings: server.ServerSettings) -> list[Item]:
    """The server's jobs, and folders without one. Makes neither folder nor queue."""
    root = settings.data / FOLDER
    folders = [path for path in root.glob("*") if ID.fullmatch(path.name) and path.is_dir()]
    kept = {item.path.name: item for item in _files("photos", _STATES[None], folders)}
    items = {id: replace(item, job=id) for id, item in kept.items()}
    if settings.has_queue:
        with contextlib.closing(open_store(settings)) as store:
            for job in store.jobs():
                size = kept[job.id].bytes if job.id in kept else 0
                what = _STATES[job.state]
                items[job.id] = Item("photos", what, root / job.id, size, job.created, job.id)
    return sorted(items.values(), key=lambda item: item.since)


def _files(kind: Kind, what: str, paths: Iterable[Path]) -> list[Item]:
    items = []
    for path in paths:
        with contextlib.suppress(OSError):  # gone meanwhile
            parts = [path, *(path.rglob("*") if path.is_dir() else _beside(path))]
            status = [part.lstat() for part in parts if not part.is_dir()] or [path.lstat()]
            since = max(one.st_mtime for one in status)
            items.append(Item(kind, what, path, sum(one.st_size for one in status), since))
    return items


def _beside(path: Path) -> list[Path]:
    """The files that SQLite keeps beside a database."""
    names = [path.with_name(path.name + ending) for ending in ("-wal", "-shm")]
    return [name for name in names if path.suffix == ".sqlite" and name.exists()]


def _left_behind(paths: Iterable[Path]) -> list[Path]:
    """Those that a process which has ended has left."""
    found = [(path, OF_A_PROCESS.fullmatch(path.name)) for path in sorted(paths)]
    return [path for path, match in found if match and not psutil.pid_exists(int(match[1]))]


def _erase_database(path: Path) -> None:
    """Raises OSError, also when it is in use."""
    with contextlib.closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as db:
        try:
            # In WAL mode this needs a lock that every other connection stands in the way of.
            db.execute("PRAGMA locking_mode = EXCLUSIVE")
            db.execute("BEGIN EXCLUSIVE")
            db.execute("ROLLBACK")
        except sqlite3.OperationalError:
            raise OSError("a program is at work with it: end it first") from None
        except sqlite3.DatabaseError:  # damaged: nobody can use it
            pass
    for file in (path, *_beside(path)):
        file.unlink(missing_ok=True)
    if path.parent.name == Path(manifest.NAME).parent.name:
        with contextlib.suppress(OSError):  # something else is in it
            path.parent.rmdir()


def _size(items: Sequence[Item]) -> str:
    count = sum(item.bytes for item in items)
    return f"{count / 2**20:.1f} MiB" if count >= 1 << 20 else f"{count / 2**10:.1f} KiB"


def _age(seconds: float) -> str:
    for unit, length in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} seconds"
