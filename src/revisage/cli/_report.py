"""The report of a run on disk while the run goes on: one JSON document, or a JSON line for each photo."""

import contextlib
import json
import time
import weakref
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TextIO

from revisage.batch import Job
from revisage.batch.storage import STANDARD
from revisage.cli._say import say
from revisage.errors import SaveError, UsageError
from revisage.files import write_atomically
from revisage.restore import document

_HEAD = 100  # bytes: schema and tool come first

LINES = frozenset({".jsonl", ".ndjson"})


def _is_stream(path: Path) -> bool:
    """Whether it is a pipe or a device, which is never replaced and gets lines."""
    return path.exists() and not path.is_file()


def check(path: Path, jobs: Sequence[Job], *, overwrite: bool) -> None:
    """Raises UsageError for a report whose name tells no kind, whose folder is not there nor made for the
    results, or in whose place is a photo, its result or, unless to be overwritten, what is no report."""
    targets = [job.target for job in jobs if isinstance(job.target, Path)]
    there, folder = path.resolve(), path.absolute().parent
    if path.is_dir():
        why = " is a folder: name a file"
    elif str(path) == STANDARD:
        why = " is no file: name a file, such as report.json"
    elif any(isinstance(job.source, Path) and there == job.source.resolve() for job in jobs):
        why = " is an original and is never written to: choose another name"
    elif any(there == target.resolve() for target in targets):
        why = " is where a photo goes: choose another name"
    elif _is_stream(path):
        return
    elif path.suffix.lower() not in {".json", *LINES}:
        why = ": name it .json, or .jsonl for a line for each photo"
    elif not folder.is_dir() and not any(one.absolute().is_relative_to(folder) for one in targets):
        why = f": the folder {folder} does not exist"
    elif overwrite or _is_ours(path):
        return
    else:
        why = " is there and is no report: choose another name, or --overwrite"
    raise UsageError(f"--report {path}{why}")


def _is_ours(path: Path) -> bool:
    """Whether nothing or an empty file is there, or an earlier report."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        head = file.read(_HEAD)
        return not head or b'"tool": "revisage ' in head
    return not path.is_file()


class Report:
    """Where the entries of photos go; nowhere without a path. A line is written as soon as its photo is done.
    A document is written anew now and then, whole or not at all, so that a run that is killed leaves a true
    report of nearly all; its entries stay in memory."""

    EVERY = 10.0  # seconds
    SHARE = 20  # at most one part in so many of the time goes into writing a document

    def __init__(self, path: Path | None, before: Iterable[dict[str, Any]] = ()) -> None:
        """Begin it with the entries of photos done `before`. Raises UsageError when it cannot be written."""
        self._path, self._next = path, 0.0
        self._file: TextIO | None = None
        self._lines = path is not None and (path.suffix.lower() in LINES or _is_stream(path))
        self._entries = [] if path is None else list(before)
        try:
            self._write()
        except SaveError as error:
            raise UsageError(f"--report: {error}: choose another name") from None

    def add(self, entry: dict[str, Any]) -> None:
        """Take one photo's entry."""
        if self._path is not None:
            self._entries.append(entry)
            if time.monotonic() >= self._next:
                self.write()

    def write(self) -> bool:
        """Bring to disk what there is; False, told on stderr, when that fails."""
        try:
            self._write()
        except SaveError as error:
            say(f"revisage restore: {error}", error=True)
            self._next = time.monotonic() + self.EVERY
            return False
        return True

    def _write(self) -> None:
        if self._path is not None and self._lines:
            try:
                self._append(self._path)
            except OSError as error:
                raise SaveError(f"{self._path} cannot be written ({error.strerror or error})") from error
        elif self._path is not None:
            start = time.monotonic()
            write_atomically(self._path, (json.dumps(document(self._entries), indent=2) + "\n").encode())
            end = time.monotonic()
            self._next = end + max(self.EVERY, self.SHARE * (end - start))

    def _append(self, path: Path) -> None:
        head = document([])
        del head["photos"]
        if self._file is None:  # kept open: a pipe's reader would take its closing for the end
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("w", encoding="utf-8")
            weakref.finalize(self, _close, self._file)
        entries, self._entries = self._entries, []  # at once: a signal's handler may write as well
        self._file.writelines(json.dumps(head | entry) + "\n" for entry in entries)
        self._file.flush()  # what fails stays in the buffer and is tried again


def _close(file: TextIO) -> None:
    with contextlib.suppress(OSError):
        file.close()
