"""The JSON report: one entry per photo, one document around them (schema 1)."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from revisage.version import __version__

SCHEMA = 1
STAGES = ("decode", "repair", "find", "faces", "scene", "paste", "encode")
_UNKNOWN = (
    "input", "output", "size_in", "size_out", "scale", "background", "runtime", "tone", "repair", "red_eyes",
    "cropped", "there", "pages", "pages_left",
)  # fmt: skip


@dataclass(frozen=True)
class FaceReport:
    """What became of one face."""

    number: int  #: from 1, left to right in the photo
    box: tuple[float, float, float, float]  #: x, y, width, height in pixels, within `size_in`
    landmarks: tuple[tuple[float, float], ...]
    """Five (x, y) in the same pixels, in the detector's order; none where a model took all of it."""
    score: float  #: the detector's confidence, 0 to 1
    outcome: str  #: "restored", "skipped" or "failed"
    reason: str | None = None  #: why it was skipped or failed
    identity_degrees: float | None = None
    """Angle between the face's embeddings before and after; None where it was not restored, or without an
    identity model."""
    strength: float | None = None  #: as asked for, 0 to 1, or less by the guard; None when not restored
    repaired: bool = False  #: whether damage was filled within its box

    def entry(self) -> dict[str, Any]:
        """The face as the report states it, in JSON types."""
        angle = self.identity_degrees
        return asdict(self) | {
            "box": [round(value, 2) for value in self.box],
            "landmarks": [[round(x, 2), round(y, 2)] for x, y in self.landmarks],
            "score": round(self.score, 4),
            "identity_degrees": None if angle is None else round(angle, 2),
        }


def document(photos: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The report of many photos from their entries (`Result.entry()` and `failure()`)."""
    return {"schema": SCHEMA, "tool": f"revisage {__version__}", "photos": [dict(p) for p in photos]}


def failure(source: object, error: BaseException) -> dict[str, Any]:
    """The entry of a photo that could not be restored; it has the keys of every other entry."""
    lines = str(error).splitlines()
    return dict.fromkeys(_UNKNOWN) | {
        "input": str(source),
        "beside": [],
        "status": "failed",
        "error": lines[0] if lines else type(error).__name__,
        "turned": 0,
        "straightened": 0.0,
        "turn_offered": 0,
        "models": dict.fromkeys(("face", "scene", "finder", "identity", "damage", "tone")),
        "seconds": dict.fromkeys(STAGES, 0.0),
        "faces": [],
        "further_pages": [],
        "notes": [],
    }
