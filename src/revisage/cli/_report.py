"""The report of a run on disk while the run goes on: one JSON document, or a JSON line for each photo."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

from revisage.cli._say import say
from revisage.errors import SaveError, UsageError
from revisage.files import write_atomically
from revisage.restore import document

_HEAD = 100  # bytes: schema and tool come first

LINES = frozenset({".jsonl", ".ndjson"})


def open_report(path: Path | None, before: Iterable[dict[str, Any]] = ()) -> Document | Lines:
    """The report that goes to `path`, begun at once with the entries of photos done `before`.

    Raises UsageError when the file cannot be written.
    """
    try:
        return Lines(path, before) if path and path.suffix.lower() in LINES else Document(path, before)
    except SaveError as error:
        raise UsageError(f"--report: {error}: choose another name") from None


def is_report(path: Path) -> bool:
    """Whether a report may go there: nothing or an empty file is there, an earlier report, or a device."""
    try:
        if not path.is_file():
            return True
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return False
    return not head or b'"tool": "revisage ' in head


class Document:
    """One JSON document. It is written anew now and then, whole or not at all, so that a run that is killed
    leaves a true report of nearly all. Every entry stays in memory; without a path nothing does."""

    EVERY = 10.0  # seconds
    SHARE = 20  # at most one part in so many of the time goes into writing it

    def __init__(self, path: Path | None, before: Iterable[dict[str, Any]] = ()) -> None:
        """Raises SaveError when the file cannot be written."""
        self._path = path
        self._entries = [] if path is None else list(before)
        self._next = 0.0
        self._write()

    def add(self, entry: dict[str, Any]) -> None:
        """Take one photo's entry."""
        if self._path is None:
            return
        self._entries.append(entry)
        if time.monotonic() >= self._next:
            self.write()

    def write(self) -> bool:
        """Bring to disk what there is; False, told on stderr, when that fails."""
        try:
            self._write()
        except SaveError as error:
            say(f"revisage restore: {error}", error=True)
            return False
        return True

    def close(self) -> None:
        """Nothing stays open."""

    def _write(self) -> None:
        start = time.monotonic()
        if self._path is not None:
            write_atomically(self._path, (json.dumps(document(self._entries), indent=2) + "\n").encode())
        end = time.monotonic()
        self._next = end + max(self.EVERY, self.SHARE * (end - start))


class Lines:
    """A JSON line for each photo as soon as it is done: the document's entry, with schema and tool."""

    def __init__(self, path: Path, before: Iterable[dict[str, Any]] = ()) -> None:
        """Raises SaveError when the file cannot be written."""
        head = document([])
        self._head = {key: head[key] for key in ("schema", "tool")}
        self._path = path
        self._failed = False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: TextIO = path.open("w", encoding="utf-8")
        except OSError as error:
            raise self._error(error) from error
        for entry in before:
            self.add(entry)

    def add(self, entry: dict[str, Any]) -> None:
        try:
            self._file.write(json.dumps(self._head | entry) + "\n")
            self._file.flush()
        except OSError as error:
            if not self._failed:
                say(f"revisage restore: {self._error(error)}", error=True)
            self._failed = True

    def write(self) -> bool:
        if not self._failed:
            self._file.flush()
        return not self._failed

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._file.close()

    def _error(self, error: OSError) -> SaveError:
        return SaveError(f"{self._path} cannot be written ({error.strerror or error})")


Report = Document | Lines  #: where the entries of photos go; the two have the same methods
