"""The queue of jobs: in SQLite for one machine, in PostgreSQL for several."""

from revisage.errors import UsageError
from revisage.server.queue.base import JobStore
from revisage.server.settings import ServerSettings


def open_store(settings: ServerSettings) -> JobStore:
    """The store that the settings name. Raises StoreUnavailableError when it cannot be opened, UsageError
    when psycopg is not installed."""
    if settings.database is None:
        from revisage.server.queue.sqlite import SqliteStore

        return SqliteStore(settings.queue_file)
    try:
        from revisage.server.queue.postgres import PostgresStore
    except ImportError as error:
        raise UsageError("--database needs psycopg: pip install 'revisage[postgres]'") from error
    return PostgresStore(settings.database)
