"""One photo, whole: decode, find, background, faces, paste. No per-photo state, so threads share it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from revisage.errors import FaceError, PhotoTooLargeError, UsageError
from revisage.faces import Face, template
from revisage.image import DecodeLimits, Photo, decode, eight_bits, from_array, from_pillow
from revisage.restore import background, tiles
from revisage.restore import colour as tone
from revisage.restore.faces import Crop, face_report, restore_crops, restore_faces
from revisage.restore.job import Job
from revisage.restore.memory import free_share
from revisage.restore.models import FaceModel, IdentityModel, InstalledModels, ModelSource, SceneModel
from revisage.restore.progress import Progress, Stage, silent
from revisage.restore.report import FaceReport
from revisage.restore.result import Result
from revisage.restore.settings import CLEAN, MAX_OUTPUT_PIXELS, RestoreOptions, Settings

Source = str | Path | bytes | Image.Image | np.ndarray | Photo


class Restorer:
    """Restores photos with models that are opened on first use and kept.

    One Restorer may be used from many threads at once: a call shares nothing with another but the models.

    Args:
        model, scene, device, precision, threads, memory, limits, max_output_pixels: see `Settings`.
        models: where the models come from; by default the installed ones that the other arguments name.

    Raises:
        UsageError: a setting has no such value.
    """

    def __init__(
        self,
        model: str = "auto",
        scene: str = "auto",
        *,
        device: str = "auto",
        precision: str = "auto",
        threads: int | None = None,
        memory: int | None = None,
        limits: DecodeLimits | None = None,
        max_output_pixels: int = MAX_OUTPUT_PIXELS,
        models: ModelSource | None = None,
    ) -> None:
        self.settings = Settings(
            model, scene, device, precision, threads, memory, limits or DecodeLimits(), max_output_pixels
        )
        self._models = InstalledModels(self.settings) if models is None else models
        # Once, so that every photo of a folder is cut into the same tiles, whatever else is in hand.
        self._budget = free_share() if memory is None else memory << 20

    def check(self, options: RestoreOptions | None = None) -> None:
        """Open the models now, so that one that `options` need and that is missing is told before the first
        photo.

        Raises:
            UsageError: a guard, and there is no identity model; a model of whole pictures (`FaceModel.whole`)
                with a guard or without `aligned`.
            ModelError: a model is unknown, missing or corrupt.
            RuntimeUnavailableError: the device or precision is not available.
        """
        options = options or RestoreOptions()
        self._models.scene()
        model = self._models.face()
        if model is not None:
            self._models.detector()
            self._identity(model, options)
            if not options.aligned:
                _wants_crops(model)

    def restore(
        self,
        source: Source,
        *,
        strength: float = 1.0,
        scale: str | int = "auto",
        faces: str | Sequence[int] = "all",
        colour: str = "keep",
        aligned: bool = False,
        guard: float | None = None,
        clean: float = CLEAN,
        progress: Progress | None = None,
    ) -> Result:
        """Restore one photo.

        Args:
            source: a path, the bytes of a file, a Pillow image, or an array: (H, W), (H, W, 3) RGB or
                (H, W, 4) RGBA, uint8 or uint16.
            strength, scale, faces, colour, aligned, guard, clean: see `RestoreOptions`.
            progress: called with a `Stage` as work gets done; what it raises ends the restoration.

        Returns:
            The result. A face that could not be restored is a "failed" entry of `result.faces`. Pixels stay
            in the photo's own colour space, whose profile is kept.

        Raises:
            UsageError: an option has no such value.
            PhotoError: the photo cannot be read, or the result would be too large.
            ModelError: a model is unknown, missing or corrupt.
            FaceError: `aligned`, and the face model failed.
        """
        options = RestoreOptions(strength, scale, faces, colour, aligned, guard, clean)
        return self.run(source, options, progress=progress)

    def find(self, source: Source) -> list[Face]:
        """The faces of a photo, largest first, in its upright pixels. Raises PhotoError, ModelError."""
        return _by_size(self._models.detector().detector.find(eight_bits(self._open(source).pixels)))

    def run(
        self,
        source: Source,
        options: RestoreOptions,
        *,
        found: Sequence[Face] | None = None,
        progress: Progress | None = None,
    ) -> Result:
        """`restore` with its options in one object.

        `found`: the faces to restore instead of looking for them, for example those of `find` smoothed over
        time along a film; the result's faces are in their order. Ignored for an aligned face.
        """
        job = Job(options, progress or silent)
        with job.timed("decode"):
            photo = self._open(source)
        job.progress(Stage("decode", 1, 1))
        path = Path(source) if isinstance(source, str | Path) else None
        return self._aligned(photo, path, job) if options.aligned else self._whole(photo, path, found, job)

    def _open(self, source: Source) -> Photo:
        if isinstance(source, Photo):
            return source
        if isinstance(source, np.ndarray):
            return from_array(source)
        if isinstance(source, Image.Image):
            return from_pillow(source)
        return decode(source, limits=self.settings.limits)

    def _whole(self, photo: Photo, path: Path | None, given: Sequence[Face] | None, job: Job) -> Result:
        height, width = photo.pixels.shape[:2]
        scale = job.options.factor((width, height))
        most = self.settings.max_output_pixels
        if height * width * scale**2 > most:
            raise PhotoTooLargeError(
                f"the result would have {width * scale} x {height * scale} pixels, "
                f"more than the limit of {most:,}: choose a smaller scale, or raise it (--max-output-pixels)"
            )
        model, scene = self._models.face(), self._models.scene()
        if scene is not None:
            scene = scene.for_photo(scale, job.options.clean)
        if model is not None:
            _wants_crops(model)
        identity = self._identity(model, job.options) if model is not None else None
        neutral = photo.gray or tone.is_neutral(photo.pixels)
        found: list[Face] = list(given or ())
        detector_label = None
        if model is not None and given is None:
            with job.timed("find"):
                detector = self._models.detector()
                found = _by_size(detector.detector.find(eight_bits(photo.pixels)))
            detector_label = detector.label
        job.progress(Stage("find", len(found), len(found)))
        with job.timed("scene"):
            rest = background.enlarge(
                photo.pixels,
                scene,
                scale=scale,
                keep=job.keep,
                neutral=neutral,
                budget=self._budget,
                on_tile=lambda done, total: job.progress(Stage("scene", done, total)),
            )
            alpha = None if photo.alpha is None else background.resample(photo.alpha, scale)
        reports: tuple[FaceReport, ...] = ()
        if model is not None:
            reports = restore_faces(
                photo.pixels, rest.canvas, found, model, identity, scale=scale, neutral=neutral, job=job
            )
        _level(rest.canvas, neutral and job.keep)
        restored = any(face.outcome == "restored" for face in reports)
        return Result(
            photo=replace(photo, pixels=rest.canvas, alpha=alpha, gray=photo.gray and job.keep),
            faces=reports,
            input=path,
            size_in=(width, height),
            scale=scale,
            background=rest.method,
            models=_labels(model, scene, identity) | {"finder": detector_label},
            changed_by=_names(model if restored else None, scene),
            runtime=_runtime(model or scene),
            seconds=job.seconds(),
            digests=_digests(model, scene),
        )

    def _identity(self, model: FaceModel, options: RestoreOptions) -> IdentityModel | None:
        if model.whole:  # it looks at faces on the template
            if options.guard is not None:
                raise UsageError(f"the guard cannot judge whole pictures: leave it out with {model.label}")
            return None
        identity = self._models.identity()
        if identity is None and options.guard is not None:
            raise UsageError("the guard needs an identity model, and none is installed")
        return identity

    def _aligned(self, photo: Photo, path: Path | None, job: Job) -> Result:
        model = self._models.face()
        if model is None:
            raise UsageError("an aligned face needs a face model: choose one instead of none")
        identity = self._identity(model, job.options)
        height, width = photo.pixels.shape[:2]
        small = tiles.to_float(_square(photo.pixels, model.size))
        source = small if model.scale == 1 else tiles.to_float(_square(photo.pixels, model.side))
        neutral = photo.gray or tone.is_neutral(photo.pixels)
        with job.timed("faces"):
            output = restore_crops(model, identity, [Crop(0, small)], job, neutral=neutral)[0]
        if isinstance(output, FaceError):
            raise output
        face, kept = output
        pixels = tiles.to_integer(source + kept.strength * (face - source), photo.pixels.dtype)
        _level(pixels, neutral and job.keep)
        job.progress(Stage("faces", 1, 1))
        points = np.zeros((0, 2)) if model.whole else template(model.side)
        whole = Face(
            (0.0, 0.0, float(width), float(height)),
            points * (width / model.side, height / model.side),
            1.0,
        )
        left = None if kept.strength > 0 else kept.left or "strength is 0"
        report = face_report(whole, ("skipped", left) if left else None, kept)
        return Result(
            photo=replace(
                photo,
                pixels=pixels,
                alpha=None if photo.alpha is None else _square(photo.alpha, model.side),
                gray=photo.gray and job.keep,
            ),
            faces=(report,),
            input=path,
            size_in=(width, height),
            scale=1,
            background="none: an aligned face",
            models=_labels(model, None, identity) | {"finder": None},
            changed_by=_names(None if left else model, None),
            runtime=_runtime(model),
            seconds=job.seconds(),
            digests=_digests(model),
        )


def _wants_crops(model: FaceModel) -> None:
    """Raise UsageError where a photo's faces would be cut out for a model that has never seen such crops."""
    if model.whole:
        raise UsageError(
            f"{model.label} takes whole pictures of one face, not faces cut out of a photo: add aligned "
            "(--aligned) for such pictures, or choose another model"
        )


def _by_size(found: Sequence[Face]) -> list[Face]:
    return sorted(found, key=lambda face: face.box[2] * face.box[3], reverse=True)


def _square(pixels: np.ndarray, size: int) -> np.ndarray:
    if pixels.shape[:2] == (size, size):
        return pixels
    shrinks = pixels.shape[0] * pixels.shape[1] > size * size
    way = cv2.INTER_AREA if shrinks else cv2.INTER_LANCZOS4
    return cv2.resize(pixels, (size, size), interpolation=way)


def _level(pixels: np.ndarray, gray: bool) -> None:
    """Make channels that are equal but for float rounding equal exactly, in place."""
    if gray:
        pixels[..., 1:] = pixels[..., :1]


def _labels(
    model: FaceModel | None, scene: SceneModel | None, identity: IdentityModel | None
) -> dict[str, str | None]:
    models = {"face": model, "scene": scene, "identity": identity}
    return {task: used.label if used else None for task, used in models.items()}


def _names(*models: FaceModel | SceneModel | None) -> tuple[str, ...]:
    return tuple(model.label for model in models if model is not None)


def _digests(*models: FaceModel | SceneModel | None) -> dict[str, tuple[str, ...]]:
    return {model.label: model.digests() for model in models if model is not None}


def _runtime(model: FaceModel | SceneModel | None) -> dict[str, str] | None:
    if model is None:
        return None
    info = model.session.info
    return {"backend": info.backend, "device": info.device, "precision": info.precision}
