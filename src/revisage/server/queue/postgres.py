"""Jobs in PostgreSQL: a queue that several machines share. Needs `revisage[postgres]`."""

import contextlib
import threading
from typing import Any

import psycopg

from revisage.server.problems import StoreUnavailableError
from revisage.server.queue.base import SCHEMA, JobStore, Rows, Statement

CONNECT_SECONDS = 5
STATEMENT_SECONDS = 30  #: how long a statement, or the wait for a lock, may take; they take milliseconds
SILENT_SECONDS = 30  #: after how long without a sign of life from the database a connection counts as broken
LOCK = 0x7265_7669  #: number of the advisory lock that counting the queue takes


class PostgresStore(JobStore):
    """One connection for each process, opened again when it breaks."""

    words = {  # noqa: RUF012 (a constant)
        "now": "EXTRACT(EPOCH FROM clock_timestamp())::double precision",
        "skip_locked": "FOR UPDATE SKIP LOCKED",
        "serial": "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
        "real": "DOUBLE PRECISION",
    }
    queue_lock = ((f"SELECT pg_advisory_xact_lock({LOCK})", ()),)

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._db: psycopg.Connection[tuple[Any, ...]] | None = None
        # Two servers that start at once would both try to create the table.
        self._run(*self.queue_lock, *((statement, ()) for statement in SCHEMA))

    def _run(self, *statements: Statement, durable: bool = True) -> tuple[Rows, int]:
        with self._lock:
            try:
                db = self._connection()
                with db.transaction():
                    if not durable:
                        db.execute("SET LOCAL synchronous_commit = off")
                    for statement, values in statements:
                        text = statement.format(**self.words).replace("?", "%s")
                        cursor = db.execute(text.encode(), values)
                    rows = cursor.fetchall() if cursor.description is not None else []
                    return rows, cursor.rowcount
            except psycopg.Error as error:
                # Which statement was lost is unknown, so it is the caller who tries again.
                self._drop()
                why = [*str(error).splitlines(), type(error).__name__][0]
                raise StoreUnavailableError(f"the queue's database does not answer ({why})") from error

    def _connection(self) -> psycopg.Connection[tuple[Any, ...]]:
        if self._db is None or self._db.closed:
            self._db = psycopg.connect(
                self._url,
                connect_timeout=CONNECT_SECONDS,
                autocommit=True,
                # Without these a network that swallows packets would hold the queue's lock for hours.
                keepalives=1,
                keepalives_idle=SILENT_SECONDS // 3,
                keepalives_interval=SILENT_SECONDS // 6,
                keepalives_count=4,
                tcp_user_timeout=1000 * SILENT_SECONDS,
            )
            limit = f"{STATEMENT_SECONDS}s"
            self._db.execute(
                "SELECT set_config('statement_timeout', %s, false), set_config('lock_timeout', %s, false),"
                " set_config('idle_in_transaction_session_timeout', %s, false)",
                (limit, limit, limit),
            )
        return self._db

    def _drop(self) -> None:
        if self._db is not None:
            with contextlib.suppress(psycopg.Error):
                self._db.close()
        self._db = None

    def close(self) -> None:
        with self._lock:
            self._drop()
