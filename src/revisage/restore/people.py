"""Every chosen face of a photo: restored in batches and pasted onto the canvas, smallest first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from revisage.errors import FaceError
from revisage.faces import Face, estimate
from revisage.restore import crops, likeness
from revisage.restore.crops import BATCH, Crop
from revisage.restore.job import Job
from revisage.restore.likeness import Kept
from revisage.restore.models import FaceModel, IdentityModel
from revisage.restore.paste import Placement, meeting, paste, place
from revisage.restore.progress import Stage
from revisage.restore.report import FaceReport


def restore(
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
    kept: dict[int, likeness.Kept] = {}
    chosen = job.options.chosen(len(found))
    for index, face in enumerate(found):
        if index not in chosen:
            reasons[index] = ("skipped", "not chosen")
        elif job.options.strength == 0:
            reasons[index] = ("skipped", "strength is 0")
        elif reason := crops.unfit(face, size):
            reasons[index] = ("skipped", reason)
    todo = [index for index in reversed(range(len(found))) if index not in reasons]
    placements: dict[int, Placement] = {}
    for index in todo:
        try:
            placements[index] = place(estimate(found[index].landmarks, model.side), model.side, scale)
        except FaceError as error:
            reasons[index] = ("failed", str(error))
    todo = list(placements)
    met = meeting(list(placements.values()))
    job.progress(Stage("faces", 0, len(todo)))
    for start in range(0, len(todo), BATCH):
        with job.timed("faces"):
            part = [_cut(pixels, found[index], index, model.size) for index in todo[start : start + BATCH]]
            outputs = run(model, identity, part, job, neutral=neutral)
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
                        neighbours=[placements[todo[other]] for other in met[done - 1]],
                    )
                job.progress(Stage("faces", done, len(todo)))
    return tuple(report(face, reasons.get(i), kept.get(i)) for i, face in enumerate(found))


def run(
    model: FaceModel, identity: IdentityModel | None, part: Sequence[Crop], job: Job, *, neutral: bool
) -> list[tuple[np.ndarray, Kept] | FaceError]:
    """Restore crops in one batch: each in the colours asked for, (side, side, 3) in [0, 1], and how strongly
    it may be used; or the error that befell it."""
    outputs = crops.restore(model, part)
    good = [(c, o) for c, o in zip(part, outputs, strict=True) if not isinstance(o, FaceError)]
    sources, options = [crops.enlarged(crop.source, model.side) for crop, _ in good], job.options
    faces = [
        crops.coloured(output, source, keep=job.keep, neutral=neutral)
        for (_, output), source in zip(good, sources, strict=True)
    ]
    kept = likeness.keep(identity, sources, faces, strength=options.strength, guard=options.guard)
    done = zip(faces, kept, strict=True)
    return [output if isinstance(output, FaceError) else next(done) for output in outputs]


def _cut(pixels: np.ndarray, face: Face, index: int, size: int) -> Crop:
    return Crop(index, crops.cut(pixels, estimate(face.landmarks, size), size))


def report(face: Face, left: tuple[str, str] | None, kept: Kept | None) -> FaceReport:
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
