"""Jobs in one SQLite file: for one machine."""

import contextlib
import sqlite3
import threading
from pathlib import Path

from revisage.server.private import close_file
from revisage.server.problems import StoreUnavailableError
from revisage.server.queue.base import SCHEMA, JobStore, Rows, Statement

PATIENCE_SECONDS = 30.0  #: how long to wait for another process's transaction; they take milliseconds


class SqliteStore(JobStore):
    """WAL, so that readers and the writer do not wait for each other; every process opens its own. The file
    must lie on a disk of this machine: WAL needs shared memory."""

    # unixepoch('subsec') came with SQLite 3.42 only; 2440587.5 is 1970-01-01 as a Julian day.
    words = {  # noqa: RUF012 (a constant)
        "now": "((julianday('now') - 2440587.5) * 86400.0)",
        "skip_locked": "",  # and no lock of the queue: BEGIN IMMEDIATE lets one writer in at a time
        "serial": "INTEGER PRIMARY KEY AUTOINCREMENT",
        "real": "REAL",
    }

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
        self._run(*((statement, ()) for statement in SCHEMA))

    def _run(self, *statements: Statement, durable: bool = True) -> tuple[Rows, int]:
        writes = not statements[-1][0].startswith("SELECT")
        with self._lock:
            try:
                if writes:
                    # In WAL, NORMAL loses the last transactions when the machine ends, never consistency.
                    self._db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
                    self._db.execute("BEGIN IMMEDIATE")
                with self._db:  # commits what has begun, or rolls it back
                    for statement, values in statements:
                        cursor = self._db.execute(statement.format(**self.words), values)
                        rows = cursor.fetchall()
                    count = cursor.rowcount
            except sqlite3.Error as error:
                raise StoreUnavailableError(f"the queue's file cannot be used ({error})") from error
        return rows, count

    def close(self) -> None:
        with self._lock:
            with contextlib.suppress(sqlite3.Error):  # others may read
                # What was erased is also in the pages of the log, until it is emptied.
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._db.close()
