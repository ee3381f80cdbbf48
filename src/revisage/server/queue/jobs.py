"""Jobs, as a client hands them in and as the store has them."""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from revisage.server.options import JobOptions
from revisage.server.problems import Failure

State = Literal["queued", "running", "done", "failed", "poisoned"]
"""A job is queued, then running, then ends. "poisoned": each of its attempts has killed its worker."""

STATES: tuple[State, ...] = get_args(State)

ID = re.compile(r"[0-9a-f]{32}")

Progress = Mapping[str, tuple[int, int]]  #: steps done and steps in all by stage, in the order of the stages

POISONED = Failure(422, "poisoned", "this photo has ended its worker each time: it is not tried again")


def new_id() -> str:
    """128 random bits: an id cannot be guessed."""
    return secrets.token_hex(16)


@dataclass(frozen=True)
class NewJob:
    """What a client has handed in, once the upload is safe on disk."""

    id: str  #: of `new_id`
    owner: str  #: who may see it; "" for everybody
    name: str  #: file name to call the result after
    digest: str  #: SHA-256 of the upload, in hex
    options: JobOptions


@dataclass(frozen=True)
class Job(NewJob):
    """A job as the store has it. Times are seconds since 1970 by the store's clock."""

    number: int
    state: State
    attempts: int
    worker: str | None  #: who has it, until it stays silent too long or the job is erased
    progress: Progress
    failure: Failure | None
    result: str | None  #: key of the result in `Files`
    created: float
    started: float | None
    ended: float | None

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.ended is not None
