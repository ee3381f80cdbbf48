"""A photo's restoration in layers, from which results of any strength are made without a model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from revisage.errors import FaceError, UsageError
from revisage.faces import Face
from revisage.image import Photo
from revisage.options import RestoreOptions
from revisage.restore import tiles
from revisage.restore.background import Background
from revisage.restore.faces import FaceLayer, Outcome, Places, face_report, identity_guard, paste_faces
from revisage.restore.job import Job, with_changes
from revisage.restore.progress import Progress, silent
from revisage.restore.report import FaceReport
from revisage.restore.result import Result
from revisage.restore.tone import Tone

ANALYSED = (
    "scale", "face", "turn", "colour", "aligned", "damaged", "straighten", "crop", "repair", "mask",
    "red_eyes",
)  # fmt: skip
"""Options of which another value needs another analysis; of colour, keep and revive are as one."""


@dataclass(frozen=True)
class Restoration:
    """What `Restorer.analyse` has made of one photo: the rest of it, and each face apart."""

    photo: Photo  #: what of it is restored (`revisage.image.prints`), without damage and red eyes
    options: RestoreOptions  #: what it was analysed for
    rest: Result  #: without any face restored; its pixels are (H scale, W scale, 3) in the photo's depth
    found: Sequence[Face]  #: from left to right
    places: Places  #: of their crops
    layers: Iterable[FaceLayer]  #: the restored faces, smallest first
    level: bool  #: the photo is gray and stays so
    tone: Callable[[], Tone]  #: estimates how it has faded
    background: Callable[[float, Progress], Background] | None = None
    """The rest at another `clean`; None where the scene model does not listen to it."""
    before: Photo | None = None  #: what of it is restored, as it was, where the layers are kept
    source: Photo | None = None  #: as it was read, where that is another and the layers are kept

    @property
    def can_clean(self) -> bool:
        """Whether another `clean` makes a difference."""
        return self.background is not None

    @property
    def nbytes(self) -> int:
        """Memory of photo, canvas and layers in bytes."""
        photos = (self.source, self.before, self.photo, self.rest.photo)
        pictures = [*(photo.pixels for photo in photos if photo), *(layer.picture for layer in self.layers)]
        return sum({id(one): one.nbytes for one in pictures if isinstance(one, np.ndarray)}.values())

    def cleaned(self, clean: float, progress: Progress | None = None) -> Restoration:
        """The same with the rest of the photo cleaned as strongly as told, 0 to 1, by the scene model."""
        job = Job(replace(self.options, clean=clean), progress or silent, dict(self.rest.seconds))
        if clean == self.options.clean or self.background is None:
            return self
        with job.timed("scene"):
            made = self.background(clean, job.progress)
        photo = replace(self.rest.photo, pixels=made.canvas)
        rest = replace(
            self.rest, photo=photo, background=made.method, changed_by=made.changed_by, seconds=job.seconds()
        )
        return replace(self, options=job.options, rest=rest)

    def render(
        self, options: RestoreOptions | None = None, *, progress: Progress | None = None, **changes: Any
    ) -> Result:
        """The photo restored as told.

        Another strength, guard or choice of faces runs no model: angles of identity are known at `SHARES`
        of the analysed strength and of 1, and interpolated between them (on nine faces of real photos at
        three strengths 0.04 degrees off on average, 0.4 at most). Another `clean` runs the scene model again
        (`cleaned`): a blend with the plainly enlarged photo would only resemble what it gives.

        Arguments as of `Restorer.restore`; the analysed options if none are given. Raises UsageError for a
        value that makes no sense, or needs a new analysis (`ANALYSED`).
        """
        chosen = with_changes(self.options if options is None else options, RestoreOptions, changes)
        if not self.serves(chosen):
            raise UsageError(f"another {', '.join(ANALYSED)} needs another analysis: call Restorer.analyse")
        there = self.cleaned(chosen.clean, progress)
        canvas = there.rest.pixels.copy() if there is self else there.rest.pixels
        return there.compose(canvas, Job(chosen, progress or silent, dict(there.rest.seconds)))

    def serves(self, options: RestoreOptions) -> bool:
        """Whether it can be rendered with these options."""
        return _analysed(options) == _analysed(self.options)

    def compose(self, canvas: np.ndarray, job: Job) -> Result:
        """The result on `canvas`, which is written to."""
        faces, model = tuple[FaceReport, ...](), self.rest.models["face"]
        if self.options.aligned:
            faces = (self._blend(canvas, job.options),)
        elif model is not None:
            faces = paste_faces(canvas, self.found, self.places, self.layers, job)
        if self.level:  # channels that are equal but for float rounding
            canvas[..., 1:] = canvas[..., :1]
        tone, repair = None, self.rest.repair
        if job.options.colour == "revive":
            with job.timed("paste"):
                tone = self.tone().at(job.options.revive)
                tone.apply(canvas)
        if repair is not None:
            faces = tuple(replace(face, repaired=repair.touches(face.box)) for face in faces)
        estimated = {"damage": repair, "tone": tone}
        others = [one.model for one in estimated.values() if one and one.model and one.changes]
        restored = any(face.outcome == "restored" for face in faces)
        chosen, scene, kept = job.options, self.rest.models["scene"], self.rest.frame
        deaf = f"with {scene}, which always cleans as it was trained to" if scene else "without a scene model"
        idle = {
            f"crop keeps the print, {kept}": kept is not None and kept.found,
            "crop changes nothing: no print is found": chosen.crop == "print" and not (kept and kept.found),
            "scale changes nothing for an aligned face": chosen.aligned and chosen.scale != "auto",
            "turn auto changes nothing for an aligned face": chosen.aligned and chosen.turn == "auto",
            f"clean changes nothing {deaf}": chosen.clean != RestoreOptions.clean and not self.can_clean,
            "revive changes nothing without --colour revive": chosen.revive != 1 and tone is None,
            "strength changes nothing without a face model": chosen.strength != 1 and model is None,
            "guard changes nothing without a face model": chosen.guard is not None and model is None,
            "faces changes nothing without a face model": chosen.faces != "all" and model is None,
            "face changes nothing without a face model": chosen.face and not (model or chosen.red_eyes),
        }
        notes = (*self.rest.photo.notes, *(text for text, is_so in idle.items() if is_so))
        return replace(
            self.rest,
            photo=replace(self.rest.photo, pixels=canvas, notes=notes),
            faces=faces,
            tone=tone,
            changed_by=((model,) if model and restored else ())
            + self.rest.changed_by
            + tuple(other.label for other in others),
            models=self.rest.models
            | {task: one.model.label if one and one.model else None for task, one in estimated.items()},
            digests=self.rest.digests | {other.label: other.digests for other in others},
            seconds=job.seconds(),
        )

    def _blend(self, canvas: np.ndarray, options: RestoreOptions) -> FaceReport:
        """An aligned face onto its own picture."""
        (layer,) = self.layers
        assert not isinstance(layer.picture, FaceError), layer.picture
        kept = identity_guard(layer.drift, options.strength, options.guard)
        if kept.strength:
            source = tiles.to_float(canvas)
            canvas[...] = tiles.to_integer(source + kept.strength * (layer.picture - source), canvas.dtype)
        elif kept.strength == 0:
            kept = Outcome("skipped", "strength is 0")
        return face_report(1, self.found[0], kept)


def _analysed(options: RestoreOptions) -> list[object]:
    kept = replace(options, colour="keep") if options.colour == "revive" else options
    return [getattr(kept, name) for name in ANALYSED]
