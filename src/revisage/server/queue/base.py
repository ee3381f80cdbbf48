"""A store of jobs: the statements that SQLite and PostgreSQL share. How they connect and lock is theirs."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from typing import Any, ClassVar

from revisage.server.options import JobOptions
from revisage.server.problems import Failure, QueueFullError
from revisage.server.queue.jobs import POISONED, STATES, Job, NewJob, Progress, State

COLUMNS = tuple(field.name for field in fields(Job))
_ALL = ", ".join(COLUMNS)

SCHEMA = (
    """CREATE TABLE IF NOT EXISTS revisage_jobs (
        number {serial}, id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL, name TEXT NOT NULL,
        digest TEXT NOT NULL, options TEXT NOT NULL, state TEXT NOT NULL, attempts INTEGER NOT NULL,
        worker TEXT, lease {real}, progress TEXT NOT NULL, failure TEXT, result TEXT,
        created {real} NOT NULL, started {real}, ended {real})""",
    "CREATE INDEX IF NOT EXISTS revisage_jobs_waiting ON revisage_jobs (state, number)",
    "CREATE INDEX IF NOT EXISTS revisage_jobs_photo ON revisage_jobs (digest)",
)

Statement = tuple[str, Sequence[Any]]  #: SQL, and the values of its parameters
Rows = list[tuple[Any, ...]]


class JobStore(ABC):
    """A durable queue. Every method is atomic, may be called from any thread, and raises
    StoreUnavailableError when the database does not answer.

    What `submit` and `finish` have returned from survives the end of the process and of the machine.

    Two implementations: `sqlite` and `postgres`. In a statement `?` is a parameter.
    """

    words: ClassVar[dict[str, str]]  #: what {now}, {skip_locked}, {serial} and {real} are in its SQL
    queue_lock: ClassVar[tuple[Statement, ...]] = ()  #: keep others from adding jobs in a transaction

    @abstractmethod
    def _run(self, *statements: Statement, durable: bool = True) -> tuple[Rows, int]:
        """Run statements as one transaction; rows and row count of the last. Not `durable`: the end of the
        machine may undo it, the end of the process may not."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the database."""

    def _rows(self, statement: str, *values: Any) -> Rows:
        return self._run((statement, values))[0]

    def _changed(self, statement: str, *values: Any) -> int:
        """How many rows a statement has changed."""
        return self._run((statement, values))[1]

    def _hold(self, job: Job, changes: str, *values: Any, durable: bool = True) -> bool:
        """Change a job that its worker still has. False: the lease is lost, and nothing was changed."""
        held = f"UPDATE revisage_jobs SET {changes} WHERE id = ? AND worker = ? AND state = 'running'"
        return self._run((held, (*values, job.id, job.worker)), durable=durable)[1] == 1

    def submit(self, job: NewJob, *, capacity: int) -> Job:
        """Add a job. Raises QueueFullError where `capacity` jobs wait already."""
        rows, _ = self._run(
            *self.queue_lock,
            (
                "INSERT INTO revisage_jobs"
                " (id, owner, name, digest, options, state, attempts, progress, created)"
                " SELECT ?, ?, ?, ?, ?, 'queued', 0, '{{}}', {now}"
                " WHERE (SELECT count(*) FROM revisage_jobs WHERE state = 'queued') < ?"
                f" RETURNING {_ALL}",
                (job.id, job.owner, job.name, job.digest, job.options.to_json(), capacity),
            ),
        )
        if not rows:
            raise QueueFullError(capacity)
        return _job(rows[0])

    def get(self, ids: Iterable[str]) -> dict[str, Job]:
        """The jobs of these ids that exist."""
        wanted = list(ids)
        if not wanted:
            return {}
        marks = ", ".join("?" * len(wanted))
        rows = self._rows(f"SELECT {_ALL} FROM revisage_jobs WHERE id IN ({marks})", *wanted)
        return {job.id: job for job in map(_job, rows)}

    def of(self, owner: str, *, state: State | None, limit: int) -> list[Job]:
        """The newest jobs of an owner, newest first; only those in `state` if given."""
        chosen, values = ("", (owner, limit)) if state is None else (" AND state = ?", (owner, state, limit))
        statement = f"SELECT {_ALL} FROM revisage_jobs WHERE owner = ?{chosen} ORDER BY number DESC LIMIT ?"
        return [_job(row) for row in self._rows(statement, *values)]

    def ahead(self, job: Job) -> int:
        """How many queued jobs come before this one."""
        before = "SELECT count(*) FROM revisage_jobs WHERE state = 'queued' AND number < ?"
        return int(self._rows(before, job.number)[0][0])

    def counts(self) -> dict[State, int]:
        """Number of jobs by state."""
        rows = self._rows("SELECT state, count(*) FROM revisage_jobs GROUP BY state")
        return dict.fromkeys(STATES, 0) | {state: int(count) for state, count in rows}

    def claim(self, worker: str, *, seconds: float) -> Job | None:
        """Take the oldest queued job for `seconds`; None where there is none."""
        # Looked at first, so that an idle worker takes no lock.
        if not self._rows("SELECT 1 FROM revisage_jobs WHERE state = 'queued' LIMIT 1"):
            return None
        rows = self._rows(
            "UPDATE revisage_jobs SET state = 'running', attempts = attempts + 1, worker = ?,"
            " lease = {now} + ?, started = {now}, progress = '{{}}'"
            " WHERE number = (SELECT number FROM revisage_jobs WHERE state = 'queued'"
            f" ORDER BY number LIMIT 1 {{skip_locked}}) RETURNING {_ALL}",
            worker,
            seconds,
        )
        return _job(rows[0]) if rows else None

    def renew(self, job: Job, *, seconds: float, progress: Progress | None = None) -> bool:
        """Keep a job, and tell how far it is. False: the lease is lost, so drop the work."""
        text = None if progress is None else json.dumps(progress)
        changes = "lease = {now} + ?, progress = COALESCE(?, progress)"
        return self._hold(job, changes, seconds, text, durable=False)

    def finish(self, job: Job, *, result: str | None = None, failure: Failure | None = None) -> bool:
        """End a job with its result or failure. False: the lease is lost, and nothing was changed."""
        assert (result is None) != (failure is None)
        state = "done" if failure is None else "failed"
        text = None if failure is None else json.dumps(asdict(failure))
        changes = "state = ?, result = ?, failure = ?, ended = {now}, lease = NULL"
        return self._hold(job, changes, state, result, text)

    def give_back(self, job: Job) -> None:
        """Queue a job again in its old place; the attempt does not count."""
        changes = "state = 'queued', attempts = attempts - 1, worker = NULL, lease = NULL, started = NULL"
        self._hold(job, changes + ", progress = '{{}}'")

    def reap(self, *, attempts: int, worker: str | None = None) -> int:
        """Queue again the jobs whose lease has run out, or those of a `worker` known to be dead. Those that
        have been started `attempts` times are poisoned instead. Returns how many jobs it were."""
        lost = "state = 'running' AND " + ("lease < {now}" if worker is None else "worker = ?")
        whose = () if worker is None else (worker,)
        if not self._rows(f"SELECT 1 FROM revisage_jobs WHERE {lost} LIMIT 1", *whose):
            return 0
        back = (
            "UPDATE revisage_jobs SET worker = NULL, lease = NULL, progress = '{{}}',"
            " state = CASE WHEN attempts >= ? THEN 'poisoned' ELSE 'queued' END,"
            " failure = CASE WHEN attempts >= ? THEN ? END, ended = CASE WHEN attempts >= ? THEN {now} END"
            f" WHERE {lost}"
        )
        return self._changed(back, attempts, attempts, json.dumps(asdict(POISONED)), attempts, *whose)

    def expired(self, *, seconds: float) -> list[str]:
        """Ids of the jobs that ended at least `seconds` ago."""
        rows = self._rows("SELECT id FROM revisage_jobs WHERE ended <= {now} - ?", seconds)
        return [row[0] for row in rows]

    def jobs(self) -> list[Job]:
        """All jobs, in the order in which they came."""
        return [_job(row) for row in self._rows(f"SELECT {_ALL} FROM revisage_jobs ORDER BY number")]

    def has_photo(self, digest: str) -> bool:
        """Whether any job has an upload of this SHA-256."""
        return bool(self._rows("SELECT 1 FROM revisage_jobs WHERE digest = ? LIMIT 1", digest))

    def erase(self, id: str) -> bool:
        """Forget a job in any state; a worker at it finds its lease lost. False: there was none."""
        return self._changed("DELETE FROM revisage_jobs WHERE id = ?", id) == 1


def _job(row: Sequence[Any]) -> Job:
    values = dict(zip(COLUMNS, row, strict=True))
    values["options"] = JobOptions.from_json(values["options"])
    values["progress"] = {stage: tuple(steps) for stage, steps in json.loads(values["progress"]).items()}
    values["failure"] = values["failure"] and Failure(**json.loads(values["failure"]))
    return Job(**values)
