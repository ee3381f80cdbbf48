"""Jobs in one SQLite file: for one machine."""

import contextlib
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from revisage.server.private import close_file
from revisage.server.problems import StoreUnavailableError
from revisage.server.queue.base import SCHEMA, JobStore

PATIENCE_SECONDS = 30.0  #: how long to wait for another process's transaction; they take milliseconds


class SqliteStore(JobStore):
    """WAL, so that readers and the writer do not wait for each other; every process opens its own.

    The file must lie on a disk of this machine: WAL needs shared memory.
    """

    # unixepoch('subsec') came with SQLite 3.42 only; 2440587.5 is 1970-01-01 as a Julian day.
    now = "((julianday('now') - 2440587.5) * 86400.0)"
    skip_locked = ""  # and no lock of the queue: BEGIN IMMEDIATE lets one writer in at a time

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = threading.Lock()
        try:
            close_file(path)  # SQLite gives the log beside it the same mode
            self._db = sqlite3.connect(
                path, timeout=PATIENCE_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA secure_delete = ON")
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailableError(f"{path} cannot be opened ({error})") from error
        names = {"serial": "INTEGER PRIMARY KEY AUTOINCREMENT", "real": "REAL"}
        self._run(*((statement.format(**names), ()) for statement in SCHEMA))

    def _run(
        self, *statements: tuple[str, Sequence[Any]], durable: bool = True
    ) -> tuple[list[tuple[Any, ...]], int]:
        writes = not statements[-1][0].startswith("SELECT")
        with self._lock:
            try:
                if writes:
                    # In WAL, NORMAL loses the last transactions when the machine ends, never consistency.
                    self._db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
                    self._db.execute("BEGIN IMMEDIATE")
                try:
                    for statement, values in statements:
                        cursor = self._db.execute(
                            statement.format(now=self.now, skip_locked=self.skip_locked), values
                        )
                        rows = cursor.fetchall()
                    count = cursor.rowcount
                except BaseException:
                    if writes:
                        self._db.execute("ROLLBACK")
                    raise
                if writes:
                    self._db.execute("COMMIT")
            except sqlite3.Error as error:
                raise StoreUnavailableError(f"the queue's file cannot be used ({error})") from error
        return rows, count

    def close(self) -> None:
        with self._lock:
            with contextlib.suppress(sqlite3.Error):  # others may read
                # What was erased is also in the pages of the log, until it is emptied.
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._db.close()
