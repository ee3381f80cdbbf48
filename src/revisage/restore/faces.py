"""Every chosen face of a photo: cut, restored in batches, held to its identity, pasted smallest first.

A bad face never takes others along.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from revisage import faces
from revisage.errors import FaceError
from revisage.faces import Face, estimate
from revisage.restore import colour, tiles
from revisage.restore.job import Job
from revisage.restore.models import FaceModel, IdentityModel
from revisage.restore.paste import Placement, overlapping, paste, place_crop
from revisage.restore.progress import Stage
from revisage.restore.report import FaceReport

BATCH = 8
"""Faces in one run of the model."""

SMALLEST = 12
"""Short side in pixels of the smallest face worth restoring."""

LEAST_INSIDE = 0.5
"""Share of a face's box that must lie within the picture."""


@dataclass(frozen=True)
class Crop:
    """One face cut from the photo: its place in the report, and (S, S, 3) float32 in [0, 1]."""

    index: int
    source: np.ndarray


def unfit(face: Face, size: tuple[int, int]) -> str | None:
    """Why a face in a photo of `size` (width, height) is not worth restoring; None when it is."""
    x, y, w, h = face.box
    if min(w, h) < SMALLEST:
        return f"smaller than {SMALLEST} pixels"
    seen_w = min(x + w, size[0]) - max(x, 0)
    seen_h = min(y + h, size[1]) - max(y, 0)
    if max(seen_w, 0) * max(seen_h, 0) < LEAST_INSIDE * w * h:
        return "mostly outside the picture"
    return None


def cut(pixels: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """Align one face: (S, S, 3) float32 in [0, 1]."""
    crop = faces.align(pixels, matrix, size)
    return tiles.to_float(crop) if np.issubdtype(crop.dtype, np.integer) else crop.astype(np.float32)


def infer(model: FaceModel, crops: Sequence[Crop]) -> list[np.ndarray | FaceError]:
    """Run crops as one batch: for each (side, side, 3) float32, or the error that befell it.

    Where the batch fails, its faces are tried one by one.
    """
    try:
        outputs: list[np.ndarray | FaceError] = list(_infer(model, crops))
    except Exception as error:
        if len(crops) == 1:
            lines = str(error).splitlines()
            return [FaceError(f"the face model failed: {lines[0] if lines else type(error).__name__}")]
        return [infer(model, [crop])[0] for crop in crops]
    return [_checked(output) for output in outputs]


def _infer(model: FaceModel, crops: Sequence[Crop]) -> np.ndarray:
    batch = np.ascontiguousarray(np.stack([crop.source for crop in crops]).transpose(0, 3, 1, 2))
    output = np.asarray(model.session.run(batch), np.float32)
    if output.shape != (*batch.shape[:2], model.side, model.side):
        raise FaceError(f"it gave {output.shape} for {batch.shape}")
    return np.ascontiguousarray(output.transpose(0, 2, 3, 1))


def enlarged(source: np.ndarray, side: int) -> np.ndarray:
    """A crop, (S, S, 3) float32 in [0, 1], at the side of the restored one, to compare it with."""
    if source.shape[0] == side:
        return source
    return np.clip(cv2.resize(source, (side, side), interpolation=cv2.INTER_CUBIC), 0, 1)


def _checked(output: np.ndarray | FaceError) -> np.ndarray | FaceError:
    if isinstance(output, FaceError) or np.isfinite(output).all():
        return output
    return FaceError("the face model gave invalid numbers")


def coloured(output: np.ndarray, source: np.ndarray, *, keep: bool, neutral: bool) -> np.ndarray:
    """The model's face in the colours asked for, (S, S, 3), clipped to [0, 1]."""
    if keep:
        output = colour.gray(output) if neutral else colour.keep_face(output, source)
    return np.clip(output, 0, 1)


SHARES = (0.75, 0.5, 0.25)
"""Of the strength asked for, tried in turn when a face drifts further than the guard allows."""


@dataclass(frozen=True)
class GuardResult:
    """How strongly a face is restored, 0 to 1.

    `degrees` is the angle between its embeddings before and after, None where it is not known. `left` says
    why a face of strength 0 was left as it was.
    """

    strength: float
    degrees: float | None = None
    left: str | None = None


def identity_guard(
    model: IdentityModel | None,
    sources: Sequence[np.ndarray],
    restored: Sequence[np.ndarray],
    *,
    strength: float,
    guard: float | None = None,
) -> list[GuardResult]:
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
        return [GuardResult(strength)] * len(sources)
    before = _embed(model, sources)
    kept: dict[int, GuardResult] = {}
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
                kept[index] = GuardResult(tried, angle if math.isfinite(angle) else None)
    return [kept[i] if i in kept else GuardResult(0.0, left=_reason(drift[i])) for i in range(len(sources))]


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


def restore_faces(
    pixels: np.ndarray,
    canvas: np.ndarray,
    found: Sequence[Face],
    model: FaceModel,
    identity: IdentityModel | None = None,
    *,
    scale: int,
    neutral: bool,
    job: Job,
) -> tuple[FaceReport, ...]:
    """Restore the chosen faces of `pixels` onto `canvas`, which is `scale` times as large, in place.

    At most BATCH crops are held at once, so a crowd costs no more memory than a family. Returns what became
    of each of `found`, in their order.
    """
    size = (pixels.shape[1], pixels.shape[0])
    reasons: dict[int, tuple[str, str]] = {}
    kept: dict[int, GuardResult] = {}
    chosen = job.options.chosen(len(found))
    for index, face in enumerate(found):
        if index not in chosen:
            reasons[index] = ("skipped", "not chosen")
        elif job.options.strength == 0:
            reasons[index] = ("skipped", "strength is 0")
        elif reason := unfit(face, size):
            reasons[index] = ("skipped", reason)
    todo = [index for index in reversed(range(len(found))) if index not in reasons]
    placements: dict[int, Placement] = {}
    for index in todo:
        try:
            placements[index] = place_crop(estimate(found[index].landmarks, model.side), model.side, scale)
        except FaceError as error:
            reasons[index] = ("failed", str(error))
    todo = list(placements)
    overlaps = overlapping(list(placements.values()))
    job.progress(Stage("faces", 0, len(todo)))
    for start in range(0, len(todo), BATCH):
        with job.timed("faces"):
            part = [_crop(pixels, found[index], index, model.size) for index in todo[start : start + BATCH]]
            outputs = restore_crops(model, identity, part, job, neutral=neutral)
        with job.timed("paste"):
            for done, (crop, output) in enumerate(zip(part, outputs, strict=True), start + 1):
                if isinstance(output, FaceError):
                    reasons[crop.index] = ("failed", str(output))
                elif output[1].left:
                    reasons[crop.index] = ("skipped", output[1].left)
                else:
                    picture, kept[crop.index] = output
                    paste(
                        canvas,
                        picture,
                        placements[crop.index],
                        strength=kept[crop.index].strength,
                        blend_offset=not job.keep,
                        neighbours=[placements[todo[other]] for other in overlaps[done - 1]],
                    )
                job.progress(Stage("faces", done, len(todo)))
    return tuple(face_report(face, reasons.get(i), kept.get(i)) for i, face in enumerate(found))


def restore_crops(
    model: FaceModel, identity: IdentityModel | None, part: Sequence[Crop], job: Job, *, neutral: bool
) -> list[tuple[np.ndarray, GuardResult] | FaceError]:
    """Restore crops in one batch: each in the colours asked for, (side, side, 3) in [0, 1], and how strongly
    it may be used; or the error that befell it."""
    outputs = infer(model, part)
    good = [(c, o) for c, o in zip(part, outputs, strict=True) if not isinstance(o, FaceError)]
    sources, options = [enlarged(crop.source, model.side) for crop, _ in good], job.options
    faces = [
        coloured(output, source, keep=job.keep, neutral=neutral)
        for (_, output), source in zip(good, sources, strict=True)
    ]
    kept = identity_guard(identity, sources, faces, strength=options.strength, guard=options.guard)
    done = zip(faces, kept, strict=True)
    return [output if isinstance(output, FaceError) else next(done) for output in outputs]


def _crop(pixels: np.ndarray, face: Face, index: int, size: int) -> Crop:
    return Crop(index, cut(pixels, estimate(face.landmarks, size), size))


def face_report(face: Face, left: tuple[str, str] | None, kept: GuardResult | None) -> FaceReport:
    """What became of a face: "skipped" or "failed" and why, or else how it was restored."""
    x, y, w, h = (float(value) for value in face.box)
    outcome, reason = left or ("restored", None)
    used = None if left else kept
    return FaceReport(
        (x, y, w, h),
        tuple((float(x), float(y)) for x, y in face.landmarks),
        float(face.score),
        outcome,
        reason,
        identity_degrees=used.degrees if used else None,
        strength=used.strength if used else None,
    )
