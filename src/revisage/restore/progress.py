"""Progress events of one photo. A callback may raise to cancel: the exception leaves `restore` unchanged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """`done` of `total` steps of a stage are finished.

    Stages in order: "decode" (1 of 1), "find" (done = total = faces found), "scene" (tiles), "faces" (faces
    chosen; counted when restored and pasted).
    """

    name: str
    done: int
    total: int


Progress = Callable[[Stage], None]


def silent(stage: Stage) -> None:
    """The callback of a caller who does not listen."""
