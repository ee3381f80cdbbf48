"""What every part of this room speaks of: a photo to do, and what became of it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Location = Path | str
"""Where a file is: a path of this machine, or a URL that fsspec opens, such as s3://bucket/photo.jpg."""

Reason = Literal[
    "damaged", "unsupported", "too-large", "unencodable", "crashed", "internal", "bad-option",
    "vanished", "unreadable", "disk-full", "unwritable", "memory", "model", "unsigned", "exists",
]  # fmt: skip
"""Why a photo failed. The first seven are of the photo itself: the same work would fail again."""

OWN: frozenset[Reason] = frozenset(
    {"damaged", "unsupported", "too-large", "unencodable", "crashed", "internal", "bad-option"}
)
"""Reasons that lie in the photo. The others lie in its surroundings, which may be better at the next run."""


@dataclass(frozen=True)
class Job:
    """One photo and where its result goes.

    Args:
        source: the photo.
        target: where its result goes.
        again: an earlier run is known to have put a result there, whether or not the file says so.
    """

    source: Location
    target: Location
    again: bool = field(default=False, compare=False)


@dataclass(frozen=True)
class Outcome:
    """What became of one photo.

    Args:
        job: the photo.
        entry: its entry of the report.
        error: what went wrong, in one line; None where the photo was restored.
        reason: the kind of error; None where there is none.
        digest: SHA-256 of the photo's bytes in hex; None where they could not be read.
        stamp: what the file's size and time were before it was read (`storage.stamp`).
        written: size of the result in bytes; None without one.
    """

    job: Job
    entry: dict[str, Any]
    error: str | None = None
    reason: Reason | None = None
    digest: str | None = None
    stamp: str | None = None
    written: int | None = None
