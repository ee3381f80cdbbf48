"""Whether a restored face still shows the same person: the angle of its embedding, and the guard."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from revisage.restore.models import IdentityModel

SHARES = (0.75, 0.5, 0.25)
"""Of the strength asked for, tried in turn when a face drifts further than the guard allows."""


@dataclass(frozen=True)
class Kept:
    """How strongly a face is restored, 0 to 1.

    `degrees` is the angle between its embeddings before and after, None where it is not known. `left` says
    why a face of strength 0 was left as it was.
    """

    strength: float
    degrees: float | None = None
    left: str | None = None


def keep(
    model: IdentityModel | None,
    sources: Sequence[np.ndarray],
    restored: Sequence[np.ndarray],
    *,
    strength: float,
    guard: float | None = None,
) -> list[Kept]:
    """How strongly each face may be restored.

    Args:
        model: None measures nothing; there is no guard without it.
        sources, restored: faces on the FFHQ template before and after, (S, S, 3) float32 in [0, 1] each.
        strength: what was asked for, 0 to 1.
        guard: largest angle in degrees; None for any.

    Returns:
        For each face the largest of `strength` and its `SHARES` whose picture is within the guard. It is left
        where none is, or where there is a guard and the model gave no numbers.
    """
    if model is None or not sources:
        return [Kept(strength)] * len(sources)
    before = _embed(model, sources)
    kept: dict[int, Kept] = {}
    drift: dict[int, float] = {}
    for share in (1.0, *SHARES):
        todo = [index for index in range(len(sources)) if index not in kept]
        if not todo:
            break
        tried = strength * share
        after = _embed(model, [sources[i] + tried * (restored[i] - sources[i]) for i in todo])
        for index, angle in zip(todo, _degrees(before[todo], after), strict=True):
            drift.setdefault(index, angle)
            if guard is None or angle <= guard:
                kept[index] = Kept(tried, angle if math.isfinite(angle) else None)
    return [kept[i] if i in kept else Kept(0.0, left=_reason(drift[i])) for i in range(len(sources))]


def _reason(angle: float) -> str:
    if not math.isfinite(angle):
        return "the identity model gave invalid numbers"
    return f"it would drift by {angle:.0f} degrees, more than the guard allows"


def _embed(model: IdentityModel, faces: Sequence[np.ndarray]) -> np.ndarray:
    """(N, D) of length 1."""
    sized = [
        cv2.resize(face, (model.size, model.size), interpolation=_way(face, model.size)) for face in faces
    ]
    batch = np.clip(np.stack(sized).transpose(0, 3, 1, 2), 0, 1)
    embedding = model.session.run(np.ascontiguousarray(batch, np.float32))
    return np.asarray(embedding, np.float64).reshape(len(faces), -1)


def _way(face: np.ndarray, size: int) -> int:
    return cv2.INTER_AREA if face.shape[0] > size else cv2.INTER_CUBIC


def _degrees(first: np.ndarray, second: np.ndarray) -> list[float]:
    """Angles in degrees between rows of unit length."""
    return [float(angle) for angle in np.degrees(np.arccos(np.clip((first * second).sum(1), -1, 1)))]
