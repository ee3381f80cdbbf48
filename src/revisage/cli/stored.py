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
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, get_args

import psutil

from revisage import server, zoo
from revisage.batch import layout, manifest
from revisage.cli._parse import parse
from revisage.cli._say import printable, say
from revisage.errors import UsageError
from revisage.files import TEMPORARY
from revisage.label import results
from revisage.options import Arg
from revisage.runtime import selfcheck
from revisage.server.retention import erase as erase_jobs
from revisage.server.retention import retained

Kind = Literal["photos", "records", "models", "caches"]

HALF_WRITTEN = re.compile(re.escape(TEMPORARY) + r"(?:(\d+)-)?[0-9a-f]{16}\.\w+")
"""A file that a run writes before it renames it, with the number of the process where it has one."""

SAMPLE = re.compile(r"revisage-\w{8}")
"""A folder of `revisage bench archive` in the system's folder for temporary files."""

_STATES = {
    "queued": "waiting at the server",
    "running": "in work at the server",
    "done": "restored by the server",
    "failed": "failed at the server",
    "poisoned": "given up by the server",
    None: "at the server without a job: arriving, or left by a crash",
}

QUIET_SECONDS = 3600.0
"""A half-written file of no known process is taken for left behind when it has not grown for so long."""


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
    older_than: Annotated[float, Arg(metavar="HOURS")] = 0.0
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
    missing = [folder for folder in options.folders if not folder.is_dir()]
    if missing:
        raise UsageError(f"{missing[0]} is no folder")
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
    """All that is kept on this machine and below `folders`.

    Raises StoreUnavailableError when the server's queue cannot be read.
    """
    jobs = retained(settings)
    items = [Item("photos", _STATES[job.state], job.folder, job.bytes, job.since, job.id) for job in jobs]
    items += _files("records", "server's queue", [settings.queue_file])
    items += _files("photos", "left by `bench archive`", _samples())
    for folder in folders:
        items += _files("photos", "half written by a killed run", _half_written(folder))
        items += _files("records", "what --resume knows", sorted(folder.rglob(manifest.NAME)))
    items += _files("models", "model", sorted(zoo.user_folder().glob("*")))
    items += _files("caches", "whether half precision is good enough", sorted(selfcheck.folder().glob("*")))
    items += _files("caches", "how many processes are fastest", [layout.choices_file()])
    items += _files("caches", "digests of results without a label", [results.results_file()])
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
    """Erase; returns what could not be, with the reason.

    Raises StoreUnavailableError when the server's queue cannot be written.
    """
    jobs = {item.job: item.path for item in items if item.job is not None}
    kept_on = erase_jobs(settings, jobs.keys()) if jobs else {}  # before the queue
    refused = {jobs[id]: reason for id, reason in kept_on.items()}
    for item in items:
        if item.job is not None:
            continue
        try:
            if item.path.suffix == ".sqlite":
                _erase_database(item.path)
            elif item.path.is_dir() and not item.path.is_symlink():
                shutil.rmtree(item.path)
            else:
                item.path.unlink(missing_ok=True)
        except OSError as error:
            refused[item.path] = error.strerror or str(error)
    return refused


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


def _half_written(folder: Path) -> list[Path]:
    """Temporary files below a folder that no process is at work on."""
    found = []
    for path in sorted(folder.rglob(f"{TEMPORARY}*")):
        match = HALF_WRITTEN.fullmatch(path.name)
        if match is None or not path.is_file():
            continue
        quiet = time.time() - path.stat().st_mtime > QUIET_SECONDS
        if quiet if match[1] is None else not psutil.pid_exists(int(match[1])):
            found.append(path)
    return found


def _samples() -> Iterator[Path]:
    """What killed runs of `bench archive` have left."""
    for path in sorted(Path(tempfile.gettempdir()).glob("revisage-*")):
        with contextlib.suppress(OSError):
            known = path / manifest.NAME
            if SAMPLE.fullmatch(path.name) and known.is_file() and not _is_used(known):
                yield path


def _is_used(database: Path) -> bool:
    """Whether a process has an SQLite file open."""
    with contextlib.closing(sqlite3.connect(database, timeout=0, isolation_level=None)) as db:
        try:
            # In WAL mode this needs a lock that every other connection stands in the way of.
            db.execute("PRAGMA locking_mode = EXCLUSIVE")
            db.execute("BEGIN EXCLUSIVE")
            db.execute("ROLLBACK")
        except sqlite3.OperationalError:
            return True
        except sqlite3.DatabaseError:  # damaged: nobody can use it
            return False
    return False


def _erase_database(path: Path) -> None:
    """Raises OSError, also when it is in use."""
    if _is_used(path):
        raise OSError("a program is at work with it: end it first")
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
