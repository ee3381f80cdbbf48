"""Every chosen face of a photo: restored in batches and pasted onto the canvas, smallest first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from revisage.errors import FaceError
from revisage.faces import Face, estimate
from revisage.restore import crops
from revisage.restore.crops import BATCH, Crop
from revisage.restore.job import Job
from revisage.restore.models import FaceModel
from revisage.restore.paste import Placement, meeting, paste, place
from revisage.restore.progress import Stage
from revisage.restore.report import FaceReport


def restore(
    pixels: np.ndarray,
    canvas: np.ndarray,
    found: Sequence[Face],
    model: FaceModel,
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
            placements[index] = place(estimate(found[index].landmarks, model.size), model.size, scale)
        except FaceError as error:
            reasons[index] = ("failed", str(error))
    todo = list(placements)
    met = meeting(list(placements.values()))
    job.progress(Stage("faces", 0, len(todo)))
    for start in range(0, len(todo), BATCH):
        with job.timed("faces"):
            part = [_cut(pixels, found[index], index, model.size) for index in todo[start : start + BATCH]]
            outputs = crops.restore(model, part)
        with job.timed("paste"):
            for done, (crop, output) in enumerate(zip(part, outputs, strict=True), start + 1):
                if isinstance(output, FaceError):
                    reasons[crop.index] = ("failed", str(output))
                else:
                    paste(
                        canvas,
                        crops.coloured(output, crop.source, keep=job.keep, neutral=neutral),
                        placements[crop.index],
                        strength=job.options.strength,
                        blend_offset=not job.keep,
                        neighbours=[placements[todo[other]] for other in met[done - 1]],
                    )
                job.progress(Stage("faces", done, len(todo)))
    return tuple(_report(face, *reasons.get(index, ("restored", None))) for index, face in enumerate(found))


def _cut(pixels: np.ndarray, face: Face, index: int, size: int) -> Crop:
    return Crop(index, crops.cut(pixels, estimate(face.landmarks, size), size))


def points(landmarks: np.ndarray) -> tuple[tuple[float, float], ...]:
    """(5, 2) landmarks as plain numbers."""
    return tuple((float(x), float(y)) for x, y in landmarks)


def _report(face: Face, outcome: str, reason: str | None) -> FaceReport:
    x, y, w, h = (float(value) for value in face.box)
    return FaceReport((x, y, w, h), points(face.landmarks), float(face.score), outcome, reason)
