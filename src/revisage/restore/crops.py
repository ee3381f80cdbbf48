"""Faces through the face model: cut, run, check; a bad face never takes others along."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from revisage import faces
from revisage.errors import FaceError
from revisage.faces import Face
from revisage.restore import colour, tiles
from revisage.restore.models import FaceModel

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


def restore(model: FaceModel, crops: Sequence[Crop]) -> list[np.ndarray | FaceError]:
    """Run crops as one batch: for each (side, side, 3) float32, or the error that befell it.

    Where the batch fails, its faces are tried one by one.
    """
    try:
        outputs: list[np.ndarray | FaceError] = list(_run(model, crops))
    except Exception as error:
        if len(crops) == 1:
            lines = str(error).splitlines()
            return [FaceError(f"the face model failed: {lines[0] if lines else type(error).__name__}")]
        return [restore(model, [crop])[0] for crop in crops]
    return [_checked(output) for output in outputs]


def _run(model: FaceModel, crops: Sequence[Crop]) -> np.ndarray:
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
