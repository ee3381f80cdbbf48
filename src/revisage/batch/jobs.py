"""What every part of this room speaks of: a photo to do, and what became of it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

Location = Path | str  #: a path of this machine, or a URL that fsspec opens, such as s3://bucket/photo.jpg

Reason = Literal[
    "damaged", "unsupported", "too-large", "unencodable", "crashed", "internal", "bad-option",
    "vanished", "unreadable", "disk-full", "unwritable", "memory", "model", "unsigned", "exists",
]  # fmt: skip
"""Why a photo failed. The first seven are of the photo itself: the same work would fail again."""

OWN: frozenset[Reason] = frozenset(get_args(Reason)[:7])
"""Reasons that lie in the photo. The others lie in its surroundings, which may be better at the next run."""


@dataclass(frozen=True)
class Job:
    """One photo and where its result goes."""

    source: Location
    target: Location
    again: bool | None = field(default=None, compare=False)
    """Whether what is there is as an earlier run is known to have left it; None where none is known."""
    other: str | None = field(default=None, compare=False)
    """The photo that what is there is known to be the result of, where that is another one."""


@dataclass(frozen=True)
class Outcome:
    """What became of one photo."""

    job: Job
    entry: dict[str, Any]  #: of the report
    error: str | None = None  #: what went wrong, in one line; None where the photo was restored
    reason: Reason | None = None  #: the kind of error
    digest: str | None = None  #: SHA-256 in hex of the photo's bytes, then of its XMP's; None if unreadable
    stamp: str | None = None  #: size and time of the file and its XMP before they were read (`storage.stamp`)
    written: int | None = None  #: bytes of the result; None without one
