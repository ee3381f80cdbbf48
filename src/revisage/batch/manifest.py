"""What is done in an output folder: one SQLite file that outlives every run.

Only the process that drives a run opens it, and keeps it for itself, so it needs no shared memory and may lie
on a network drive. A result is renamed into place before its row is written: a run killed in between redoes
that photo and nothing else.
"""

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from revisage.batch import storage
from revisage.batch.jobs import OWN, Job, Location, Outcome
from revisage.errors import SaveError
from revisage.label import results

NAME = ".revisage/manifest.sqlite"
VERSION = 1
PATIENCE_SECONDS = 2.0

CLOCKS_SECONDS = 60.0  #: by how much the clock of a network drive may be ahead

_SCHEMA = """CREATE TABLE IF NOT EXISTS photos (
    target TEXT PRIMARY KEY, source TEXT NOT NULL, stamp TEXT, digest TEXT, settings TEXT NOT NULL,
    reason TEXT, written INTEGER, entry TEXT NOT NULL, ended REAL NOT NULL) WITHOUT ROWID"""


class ManifestError(SaveError):
    """The manifest cannot be read or written, or another run has it. No result is touched."""


@dataclass(frozen=True)
class Standing:
    """What a run finds."""

    todo: list[Job]  #: photos to be restored, in their order
    restored: int  #: how many are done and unchanged
    failed: int  #: how many failed before and are left alone


class Manifest(contextlib.AbstractContextManager["Manifest"]):
    """The manifest of one output folder; for one thread, and for one process at a time."""

    def __init__(self, path: Path, out: Location) -> None:
        """Open or make it. Raises ManifestError."""
        self._path, self._out = path, out
        with self._told(), contextlib.ExitStack() as opened:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=PATIENCE_SECONDS, isolation_level=None)
            opened.callback(self._db.close)
            self._db.row_factory = sqlite3.Row
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode = WAL")
            # The end of the machine may undo the last rows, whose photos are then redone; never the order.
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute("BEGIN IMMEDIATE")
            [version] = self._db.execute("PRAGMA user_version").fetchone()
            if version not in (0, VERSION):
                raise ManifestError(f"{path} was made by another version of revisage: use that one")
            self._db.execute(_SCHEMA)
            self._db.execute(f"PRAGMA user_version = {VERSION}")
            self._db.execute("COMMIT")
            opened.pop_all()

    def __exit__(self, *error: object) -> None:
        self._db.close()

    def standing(self, jobs: Sequence[Job], settings: str, *, retry_failed: bool = False) -> Standing:
        """Which of the jobs are still to be done under these settings, known by their `fingerprint`.

        A photo is done when its result was made by these settings of these bytes and is still there in its
        size, with the files beside it; the bytes are read again only where the file's stamp has changed. A
        photo that failed is tried again when the reason lay outside it, or with `retry_failed`.
        """
        todo: list[Job] = []
        restored = failed = 0
        for job in jobs:
            row = self._photo(job)
            if row is None or row["settings"] != settings or not self._is_settled(job, row, retry_failed):
                todo.append(job if row is None or row["reason"] is not None else _known(job, row))
            elif row["reason"] is None:
                restored += 1
            else:
                failed += 1
        return Standing(todo, restored, failed)

    def _is_settled(self, job: Job, row: sqlite3.Row, retry_failed: bool) -> bool:
        if row["reason"] is None:
            beside = json.loads(row["entry"]).get("beside", ())
            there = all(Path(job.target).with_name(name).exists() for name in beside)
            settled = there and storage.size(job.target) == row["written"]
        else:
            settled = not retry_failed and row["reason"] in OWN
        if not settled or (now := storage.stamp(job.source)) is None:
            return False
        if now != row["stamp"]:
            if row["digest"] is None or storage.digest(job.source) != row["digest"]:
                return False
            self._row("UPDATE photos SET stamp = ? WHERE target = ?", now, self.key(job))
        return True

    def record(self, outcome: Outcome, settings: str) -> None:
        """Remember what became of a photo; where it has no XMP file any more, that of its earlier result
        goes, or is told if others have changed it. Of a file that was in the way, what was known of it stays.
        Raises ManifestError."""
        row, job = self._photo(outcome.job), outcome.job
        if row is not None and outcome.reason == "exists":
            return
        if row is not None and outcome.error is None and isinstance(job.target, Path):
            stale = set(json.loads(row["entry"]).get("beside", ())) - set(outcome.entry["beside"])
            for path in map(job.target.with_name, stale):
                if path.suffix.lower() != ".xmp" or not path.exists():
                    continue
                if results.objection_at(path) is None:
                    path.unlink(missing_ok=True)
                else:
                    outcome.entry["notes"].append(f"{path.name} is of an earlier run and stays as it is")
        became = (settings, outcome.reason, outcome.written, json.dumps(outcome.entry), time.time())
        values = (self.key(job), _whole(job.source), outcome.stamp, outcome.digest, *became)
        self._row(f"INSERT OR REPLACE INTO photos VALUES ({', '.join('?' * len(values))})", *values)

    def entries(self, jobs: Sequence[Job]) -> Iterator[dict[str, Any]]:
        """What the report says of those of the jobs that are recorded, in their order."""
        for job in jobs:
            row = self._photo(job)
            if row is not None:
                yield json.loads(row["entry"])

    def key(self, job: Job) -> str:
        """The path of a result below the output folder; as JSON behind a slash, which no such path begins
        with, where it is no Unicode text."""
        if isinstance(job.target, Path):
            assert isinstance(self._out, Path), (job.target, self._out)
            return _text(job.target.relative_to(self._out).as_posix())
        return _text(job.target.removeprefix(str(self._out)).lstrip("/"))

    def _photo(self, job: Job) -> sqlite3.Row | None:
        return self._row("SELECT * FROM photos WHERE target = ?", self.key(job))

    def _row(self, statement: str, *values: object) -> sqlite3.Row | None:
        with self._told():
            row: sqlite3.Row | None = self._db.execute(statement, values).fetchone()
        return row

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Raise ManifestError for what SQLite raises in the block."""
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            text = f"cannot be used ({error}): if it is damaged, remove it and all is done anew"
            if "locked" in str(error):
                text = "is taken, another run is at work: wait for it, or end it"
            raise ManifestError(f"{self._path} {text}") from error


def _known(job: Job, row: sqlite3.Row) -> Job:
    """The job with what the row of a result tells of what is in its place: a result of another photo, unless
    the photo has moved; or whether it is as the run has left it, by its size and, on this machine, its time,
    or damaged, and so nobody's work."""
    if (size := storage.size(job.target)) is None:
        return job
    late = isinstance(job.target, Path) and job.target.stat().st_mtime > row["ended"] + CLOCKS_SECONDS
    moved = row["digest"] is not None and storage.digest(job.source) == row["digest"]
    if _whole(job.source) not in (row["source"], _whole(Path(row["source"]))) and not moved:
        return replace(job, other=row["source"])
    return replace(job, again=(size == row["written"] and not late) or storage.is_damaged(job.target))


def _whole(source: Location) -> str:
    return _text(os.path.abspath(source) if isinstance(source, Path) else source)


def _text(name: str) -> str:
    """A file's name as SQLite takes it, different for every name: JSON for bytes that are no UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return "/" + json.dumps(name)
    return name
