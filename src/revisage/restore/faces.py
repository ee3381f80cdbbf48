"""Every chosen face of a photo: cut, restored in batches, held to its identity, pasted smallest first.

A bad face never takes others along.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from itertools import islice

import cv2
import numpy as np

from revisage.errors import FaceError, one_line
from revisage.faces import Face, align, estimate
from revisage.restore import colour, tiles
from revisage.restore.job import Job
from revisage.restore.models import FaceModel, IdentityModel
from revisage.restore.paste import Placement, overlapping, paste, place_crop
from revisage.restore.progress import Progress, Stage
from revisage.restore.report import FaceReport

BATCH = 8  #: faces in one run of the model
SMALLEST = 12  #: short side in pixels of the smallest face worth restoring
LEAST_INSIDE = 0.5  #: share of a face's box that must lie within the picture
AGREES = 0.9  #: correlation between a face and the restored one below which the model has not made it out
_NOTHING = 1e-6  # mean square of a picture in [0, 1] that has no detail
SCREENS = (1 / 128, 1 / 64)  #: sigmas, as shares of a crop's side, of what then smooths a pattern away


@dataclass(frozen=True)
class Crop:
    """One face cut from the photo: its place in the report, (S, S, 3) float32 in [0, 1], and how strongly it
    is to be restored, 0 to 1."""

    index: int
    source: np.ndarray
    strength: float


def infer(model: FaceModel, crops: Sequence[Crop]) -> list[np.ndarray | FaceError]:
    """Run crops as one batch: for each (side, side, 3) float32, or the error that befell it.

    Where the batch fails, its faces are tried one by one.
    """
    try:
        batch = np.ascontiguousarray(np.stack([crop.source for crop in crops]).transpose(0, 3, 1, 2))
        output = np.asarray(model.session.run(batch), np.float32)
        if output.shape != (*batch.shape[:2], model.side, model.side):
            raise FaceError(f"it gave {output.shape} for {batch.shape}")
        faces = np.ascontiguousarray(output.transpose(0, 2, 3, 1))
    except Exception as error:
        if len(crops) == 1:
            return [FaceError(f"the face model failed: {one_line(error)}")]
        return [infer(model, [crop])[0] for crop in crops]
    invalid = FaceError("the face model gave invalid numbers")
    return [face if np.isfinite(face).all() else invalid for face in faces]


def agreement(face: np.ndarray, other: np.ndarray) -> float:
    """Correlation of two pictures of a face, (S, S, 3), in what is some 2 to 10 % of a side large.

    Restored faces have 0.98 and more, of screens and moire that no training has shown 0.5 and less. 1 where
    one shows nothing.
    """
    sized = (cv2.resize(picture, (64, 64), interpolation=cv2.INTER_AREA) for picture in (face, other))
    lumas = [colour.luma(picture) for picture in sized]
    one, two = (cv2.GaussianBlur(y, (0, 0), 1.3) - cv2.GaussianBlur(y, (0, 0), 6.4) for y in lumas)
    power = math.sqrt(np.square(one).mean() * np.square(two).mean())
    return float((one * two).mean() / power) if power > _NOTHING else 1.0


def made_out(model: FaceModel, crops: Sequence[Crop]) -> list[np.ndarray | FaceError]:
    """As `infer`; a face that the model has not made out is tried again without its finest details, which a
    scan's pattern may have drowned, and given up where that does not help."""
    outputs = infer(model, crops)
    if model.whole:  # these make a face even of noise
        return outputs

    def lost() -> list[int]:
        pairs = enumerate(zip(crops, outputs, strict=True))
        return [i for i, (c, o) in pairs if isinstance(o, np.ndarray) and agreement(c.source, o) < AGREES]

    for sigma in SCREENS:
        if again := lost():
            sources = [cv2.GaussianBlur(crops[i].source, (0, 0), sigma * model.size) for i in again]
            soft = [replace(crops[i], source=source) for i, source in zip(again, sources, strict=True)]
            for i, output in zip(again, infer(model, soft), strict=True):
                outputs[i] = output
    for i in lost():
        outputs[i] = FaceError(
            "the face model could not make it out: its pattern is too coarse or too strong"
        )
    return outputs


def enlarged(source: np.ndarray, side: int) -> np.ndarray:
    """A crop, (S, S, 3) float32 in [0, 1], at the side of the restored one, to compare it with."""
    if source.shape[0] == side:
        return source
    return np.clip(cv2.resize(source, (side, side), interpolation=cv2.INTER_CUBIC), 0, 1)


def coloured(output: np.ndarray, source: np.ndarray, job: Job) -> np.ndarray:
    """The model's face in the colours asked for, (S, S, 3), clipped to [0, 1]."""
    if job.keep:
        output = colour.keep_face(output, source)
        output = colour.gray(output) if job.neutral else output
    return np.clip(output, 0, 1)


SHARES = (1.0, 0.75, 0.5, 0.25)
"""Of the strength asked for, tried in turn when a face drifts further than the guard allows."""

Drift = Mapping[float, float]
"""Angle in degrees between a face's embeddings before and after, by the strength at which it is restored; not
a number where the model gave none, and empty without an identity model."""


@dataclass(frozen=True)
class Outcome:
    """What becomes of a face: how strongly it is restored, 0 to 1, or why it is not.

    `degrees` is the angle between its embeddings before and after, None where it is not known.
    """

    what: str = "restored"  #: or "skipped" or "failed"
    reason: str | None = None  #: of the latter two
    degrees: float | None = None
    strength: float | None = None


def identity_guard(drift: Drift, strength: float, guard: float | None) -> Outcome:
    """How strongly a face may be restored: the largest of `SHARES` of `strength`, 0 to 1, at which it drifts
    by at most `guard` degrees (None: any).

    It is left where there is none, or where there is a guard and the model gave no numbers.
    """
    if not drift:
        return Outcome(strength=strength)
    for share in SHARES:
        angle = _degrees_at(drift, strength * share)
        if guard is None or angle <= guard:
            known = angle if math.isfinite(angle) else None
            return Outcome(degrees=known, strength=strength * share)
    angle = _degrees_at(drift, strength)
    if math.isfinite(angle):
        return Outcome("skipped", f"it would drift by {angle:.0f} degrees, more than the guard allows")
    return Outcome("skipped", "the identity model gave invalid numbers")


def measure_drift(
    model: IdentityModel | None,
    sources: Sequence[np.ndarray],
    restored: Sequence[np.ndarray],
    strengths: Sequence[float],
    *,
    guard: float | None,
    every: bool,
) -> list[Drift]:
    """By how much each face drifts at its strength, and where that is more than the guard in degrees (None:
    any) allows, at each of its `SHARES` until one is within.

    `sources` and `restored` are faces on the FFHQ template before and after, (S, S, 3) float32 in [0, 1]
    each. With `every`, all shares of that strength and of 1, for `identity_guard` to judge any strength by.
    Without a model nothing is measured.
    """
    drifts: list[dict[float, float]] = [{} for _ in sources]
    if model is None or not sources:
        return list(drifts)
    tried = [[share * strength for strength in strengths] for share in SHARES]
    if every:
        tried += [[share] * len(sources) for share in SHARES]

    def is_open(drift: Drift) -> bool:
        return every or not any(guard is None or angle <= guard for angle in drift.values())

    before = _embed(model, sources)
    for at in tried:
        todo = [i for i, drift in enumerate(drifts) if at[i] not in drift and is_open(drift)]
        if todo:
            after = _embed(model, [sources[i] + at[i] * (restored[i] - sources[i]) for i in todo])
            angles = np.degrees(np.arccos(np.clip((before[todo] * after).sum(1), -1, 1)))
            for index, angle in zip(todo, angles.tolist(), strict=True):
                drifts[index][at[index]] = angle
    return list(drifts)


def _degrees_at(drift: Drift, strength: float) -> float:
    """As measured, or between two strengths that were; a face that is left does not drift."""
    if strength in drift:
        return drift[strength]
    known = sorted({0.0: 0.0, **drift})
    return float(np.interp(strength, known, [drift.get(at, 0.0) for at in known]))


def _embed(model: IdentityModel, faces: Sequence[np.ndarray]) -> np.ndarray:
    """(N, D) of length 1."""
    size = model.size
    ways = [cv2.INTER_AREA if face.shape[0] > size else cv2.INTER_CUBIC for face in faces]
    sized = [cv2.resize(face, (size, size), interpolation=way) for face, way in zip(faces, ways, strict=True)]
    batch = np.clip(np.stack(sized).transpose(0, 3, 1, 2), 0, 1)
    embedding = model.session.run(np.ascontiguousarray(batch, np.float32))
    return np.asarray(embedding, np.float64).reshape(len(faces), -1)


@dataclass(frozen=True)
class FaceLayer:
    """A restored face, apart from the photo: (side, side, 3) float32 in [0, 1] on the FFHQ template, in the
    colours asked for, or the error that befell it; `index` is its place in the report."""

    index: int
    picture: np.ndarray | FaceError
    drift: Drift


def place_face(face: Face, size: tuple[int, int], side: int, scale: int) -> Placement | Outcome:
    """Where the crop of a face, `side` pixels wide, lies on the canvas of a photo of `size` (width, height);
    or why it is not worth restoring."""
    x, y, w, h = face.box
    if min(w, h) < SMALLEST:
        return Outcome("skipped", f"smaller than {SMALLEST} pixels")
    seen_w = min(x + w, size[0]) - max(x, 0)
    seen_h = min(y + h, size[1]) - max(y, 0)
    if max(seen_w, 0) * max(seen_h, 0) < LEAST_INSIDE * w * h:
        return Outcome("skipped", "mostly outside the picture")
    try:
        return place_crop(estimate(face.landmarks, side), side, scale)
    except FaceError as error:
        return Outcome("failed", str(error))


def across(face: Face) -> tuple[float, float]:
    """Where a face stands in the order in which they are counted: from left to right."""
    return face.box[0] + face.box[2] / 2, face.box[1]


def area(face: Face) -> float:
    """Of its box, in square pixels."""
    return face.box[2] * face.box[3]


Places = Sequence[Placement | Outcome]  #: of faces on the canvas, or why they are not restored
Wanted = Mapping[int, tuple[Face, float]]  #: faces by their index in the report, each with its strength


def restored_layers(
    pixels: np.ndarray, faces: Wanted, model: FaceModel, identity: IdentityModel | None, job: Job
) -> Iterator[FaceLayer]:
    """The faces, restored as they are asked for, in batches of at most BATCH: so a crowd costs no more memory
    than a family."""

    def crop(index: int) -> Crop:
        face, strength = faces[index]
        matrix = estimate(face.landmarks, model.size)
        return Crop(index, tiles.to_float(align(pixels, matrix, model.size)), strength)

    todo = iter(faces)
    while part := list(islice(todo, BATCH)):
        with job.timed("faces"):
            layers = restore_crops(model, identity, [crop(index) for index in part], job)
        yield from layers


def paste_faces(
    canvas: np.ndarray, found: Sequence[Face], places: Places, layers: Iterable[FaceLayer], job: Job
) -> tuple[FaceReport, ...]:
    """Paste the chosen faces of `layers` onto the canvas, in place and in their order: smallest first.
    Returns what became of each of `found`, in their order. Raises UsageError where one is chosen that is not
    there."""
    chosen = job.options.chosen([area(face) for face in found])
    outcomes: list[Outcome] = []
    todo: dict[int, Placement] = {}
    for index, place in enumerate(places):
        if not chosen.get(index):
            outcomes.append(Outcome("skipped", "strength is 0" if index in chosen else "not chosen"))
        elif isinstance(place, Placement):
            todo[index] = place
            outcomes.append(Outcome("failed", "no model restored it"))
        else:
            outcomes.append(place)
    rivals = dict(zip(todo, overlapping(list(todo.values())), strict=True))
    for layer in counted((layer for layer in layers if layer.index in todo), len(todo), job.progress):
        index = layer.index
        if isinstance(layer.picture, FaceError):
            outcomes[index] = Outcome("failed", str(layer.picture))
            continue
        kept = outcomes[index] = identity_guard(layer.drift, chosen[index], job.options.guard)
        with job.timed("paste"):
            paste(
                canvas,
                layer.picture,
                todo[index],
                strength=kept.strength or 0.0,
                blend_offset=not job.keep,
                neighbours=rivals[index],
            )
    return tuple(map(face_report, range(1, len(found) + 1), found, outcomes))


def counted(layers: Iterable[FaceLayer], total: int, progress: Progress) -> Iterator[FaceLayer]:
    """The layers, each told of once the caller is done with it."""
    progress(Stage("faces", 0, total))
    for done, layer in enumerate(layers, 1):
        yield layer
        progress(Stage("faces", done, total))


def restore_crops(
    model: FaceModel, identity: IdentityModel | None, part: Sequence[Crop], job: Job
) -> list[FaceLayer]:
    """Restore crops in one batch; see `FaceLayer` and `measure_drift`."""
    outputs = made_out(model, part)
    good = [(c, o) for c, o in zip(part, outputs, strict=True) if not isinstance(o, FaceError)]
    sources = [enlarged(crop.source, model.side) for crop, _ in good]
    faces = [coloured(output, source, job) for (_, output), source in zip(good, sources, strict=True)]
    strengths, guard = [crop.strength for crop, _ in good], job.options.guard
    drifts = measure_drift(identity, sources, faces, strengths, guard=guard, every=job.every)
    done = zip(faces, drifts, strict=True)
    return [
        FaceLayer(crop.index, *((output, {}) if isinstance(output, FaceError) else next(done)))
        for crop, output in zip(part, outputs, strict=True)
    ]


def face_report(number: int, face: Face, outcome: Outcome) -> FaceReport:
    """What became of a face, for the report."""
    x, y, w, h = (float(value) for value in face.box)
    points = tuple((float(x), float(y)) for x, y in face.landmarks)
    return FaceReport(number, (x, y, w, h), points, float(face.score), *astuple(outcome))
