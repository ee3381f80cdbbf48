"""Progress events of one photo. A callback may raise to cancel: the exception leaves `restore` unchanged."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from revisage.errors import UsageError


@dataclass(frozen=True)
class Stage:
    """`done` of `total` steps of a stage are finished.

    Stages in order: "decode" (1 of 1), "find" (done = total = faces found), "scene" (tiles), "faces" (faces
    chosen; counted when restored and pasted), and for a server, where faces come before the scene, "save" (1
    of 1).
    """

    name: str
    done: int
    total: int

    @property
    def text(self) -> str:
        """For people."""
        match self.name:
            case "decode":
                return "photo read"
            case "find":
                count = f"{self.total} face{'s' if self.total > 1 else ''}"
                return f"{count if self.total else 'no face'} found"
            case "save":
                return "writing the result"
        return f"{'tile' if self.name == 'scene' else 'face'} {self.done} of {self.total}"


SHARES = {"decode": 0.03, "find": 0.04, "scene": 0.7, "faces": 0.18, "save": 0.05}
"""The share of a photo's time that each stage takes, in their order; for bars."""


FACES_FIRST = ("decode", "find", "faces", "scene", "save")
"""The order in which `Restorer.analyse` goes through them."""


def overall(stage: Stage, order: Sequence[str] = tuple(SHARES)) -> float:
    """How far a photo is, 0 to 1."""
    before = order[: order.index(stage.name)]
    done = stage.done / stage.total if stage.total else 1.0
    return sum(SHARES[name] for name in before) + SHARES[stage.name] * done


Progress = Callable[[Stage], None]


def silent(stage: Stage) -> None:
    """The callback of a caller who does not listen."""


def listener(progress: Progress | None) -> Progress:
    """The callback, or the silent one. Raises UsageError for what cannot be called."""
    if progress is not None and not callable(progress):
        raise UsageError(f"progress {progress!r}: give a function, which is called with each Stage")
    return progress or silent
