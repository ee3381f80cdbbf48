"""Jobs, and what a store of jobs must do. Two implementations: `sqlite` and `postgres`."""

import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from revisage.server.options import JobOptions
from revisage.server.problems import Failure

State = Literal["queued", "running", "done", "failed", "poisoned"]
"""A job is queued, then running, then ends. "poisoned": each of its attempts has killed its worker."""

STATES: tuple[State, ...] = ("queued", "running", "done", "failed", "poisoned")

ID = re.compile(r"[0-9a-f]{32}")

Progress = Mapping[str, tuple[int, int]]
"""Steps done and steps in all by stage, in the order of the stages."""

POISONED = Failure(
    422, "poisoned", "restoring this photo has ended the worker each time: it is not tried again"
)


def new_id() -> str:
    """128 random bits: an id cannot be guessed."""
    return secrets.token_hex(16)


@dataclass(frozen=True)
class NewJob:
    """What a client has handed in, once the upload is safe on disk.

    Args:
        id: of `new_id`.
        owner: who may see it; "" for everybody.
        name: file name to call the result after.
        digest: SHA-256 of the upload, in hex.
        options: what to do.
    """

    id: str
    owner: str
    name: str
    digest: str
    options: JobOptions


@dataclass(frozen=True)
class Job(NewJob):
    """A job as the store has it. Times are seconds since 1970 by the store's clock."""

    number: int
    state: State
    attempts: int
    worker: str | None
    progress: Progress
    failure: Failure | None
    result: str | None
    """Key of the result in `Files`."""
    created: float
    started: float | None
    ended: float | None

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.ended is not None


@dataclass(frozen=True)
class Lease:
    """The right of one worker to one job. Lost when the worker stays silent or the job is erased."""

    job: Job = field(repr=False)
    worker: str


class JobStore(Protocol):
    """A durable queue. Every method is atomic, may be called from any thread, and raises
    StoreUnavailableError when the database does not answer.

    What `submit` and `finish` have returned from survives the end of the process and of the machine.
    """

    def submit(self, job: NewJob, *, capacity: int) -> Job:
        """Add a job. Raises QueueFullError where `capacity` jobs wait already."""
        ...

    def get(self, ids: Iterable[str]) -> dict[str, Job]:
        """The jobs of these ids that exist."""
        ...

    def of(self, owner: str, *, state: State | None, limit: int) -> list[Job]:
        """The newest jobs of an owner, newest first; only those in `state` if given."""
        ...

    def ahead(self, job: Job) -> int:
        """How many queued jobs come before this one."""
        ...

    def counts(self) -> dict[State, int]:
        """Number of jobs by state."""
        ...

    def claim(self, worker: str, *, seconds: float) -> Lease | None:
        """Take the oldest queued job for `seconds`; None where there is none."""
        ...

    def renew(self, lease: Lease, *, seconds: float, progress: Progress | None = None) -> bool:
        """Keep a job, and tell how far it is. False: the lease is lost, so drop the work."""
        ...

    def finish(self, lease: Lease, *, result: str | None = None, failure: Failure | None = None) -> bool:
        """End a job with its result or failure. False: the lease is lost, and nothing was changed."""
        ...

    def give_back(self, lease: Lease) -> None:
        """Queue a job again in its old place; the attempt does not count."""
        ...

    def reap(self, *, attempts: int, worker: str | None = None) -> int:
        """Queue again the jobs whose lease has run out, or those of a `worker` known to be dead.

        Those that have been started `attempts` times are poisoned instead. Returns how many jobs it were.
        """
        ...

    def expired(self, *, seconds: float) -> list[str]:
        """Ids of the jobs that ended at least `seconds` ago."""
        ...

    def erase(self, id: str) -> bool:
        """Forget a job in any state; a worker at it finds its lease lost. False: there was none."""
        ...

    def jobs(self) -> list[Job]:
        """All jobs, in the order in which they came."""
        ...

    def has_photo(self, digest: str) -> bool:
        """Whether any job has an upload of this SHA-256."""
        ...

    def close(self) -> None:
        """Let go of the database."""
        ...
