"""One photo, whole: decode, find, background, faces. No per-photo state, so threads share it."""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from PIL import Image

from revisage.errors import FaceError, PhotoError, PhotoTooLargeError, UsageError
from revisage.faces import Face, template
from revisage.image import Photo, decode, eight_bits, from_array, from_pillow, with_sidecar
from revisage.image.frame import framed
from revisage.options import RestoreOptions, Settings
from revisage.restore import colour as tone
from revisage.restore import tiles
from revisage.restore.background import Background, enlarge, resample, square
from revisage.restore.faces import (
    Crop,
    FaceLayer,
    Left,
    across,
    area,
    chosen_faces,
    paste_faces,
    place_faces,
    restore_crops,
    restored_layers,
)
from revisage.restore.job import Job
from revisage.restore.memory import free_share
from revisage.restore.models import (
    FaceModel,
    IdentityModel,
    InstalledModels,
    ModelSource,
    digests_of,
    labels_of,
    require_crops,
    runtime_of,
)
from revisage.restore.paste import Placement
from revisage.restore.progress import Progress, Stage, silent
from revisage.restore.restoration import Restoration, counted
from revisage.restore.result import Result
from revisage.restore.seek import seek

Sketch = Callable[[Photo, Photo], None]
"""Takes a photo as it was read, and its restored faces on it, plainly enlarged."""

Source = str | Path | bytes | Image.Image | np.ndarray | Photo


class Restorer:
    """Restores photos with models that are opened on first use and kept.

    One Restorer may be used from many threads at once: a call shares nothing with another but the models.

    Args:
        settings: see `Settings`.
        models: where the models come from; by default the installed ones that the settings name.
        changes: fields of `Settings` that differ: `Restorer(device="cpu")`.

    Raises:
        UsageError: a setting has no such value.
        TypeError: there is no such setting.
    """

    def __init__(
        self, settings: Settings | None = None, *, models: ModelSource | None = None, **changes: Any
    ) -> None:
        self.settings = replace(settings or Settings(), **changes)
        self._models = InstalledModels(self.settings) if models is None else models
        memory = self.settings.memory
        # Once, so that every photo of a folder is cut into the same tiles, whatever else is in hand.
        self._budget = free_share() if memory is None else memory << 20

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the installed models go, and with them their memory; a later call opens them again."""
        if isinstance(self._models, InstalledModels):
            self._models = InstalledModels(self.settings)

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
                require_crops(model)

    def restore(
        self,
        source: Source,
        options: RestoreOptions | None = None,
        *,
        found: Sequence[Face] | None = None,
        progress: Progress | None = None,
        **changes: Any,
    ) -> Result:
        """Restore one photo: `analyse` and `Restoration.render` in one, for the faces that are asked for.

        Args:
            source: a path, the bytes of a file, a Pillow image, or an array: (H, W), (H, W, 3) RGB or
                (H, W, 4) RGBA, uint8 or uint16.
            options: what the photo wants.
            found: the faces to restore instead of looking for them, for example those of `find` smoothed over
                time along a film; the result's faces are in their order. Ignored for an aligned face.
            progress: called with a `Stage` as work gets done; what it raises ends the restoration.
            changes: fields of `RestoreOptions` that differ from `options`: `restore(source, strength=0.8)`.

        Returns:
            The result. A face that could not be restored is a "failed" entry of `result.faces`. Pixels stay
            in the photo's own colour space, whose profile is kept.

        Raises:
            UsageError: an option has no such value.
            TypeError: there is no such option.
            PhotoError: the photo cannot be read, or the result would be too large.
            ModelError: a model is unknown, missing or corrupt.
            FaceError: `aligned`, and the face model failed.
        """
        job = Job(replace(options or RestoreOptions(), **changes), progress or silent)
        restoration = self._layered(source, job, found, every=False)
        result = restoration.compose(restoration.rest.pixels, job)
        return self.with_pages(result, job.options, progress)

    async def restore_async(
        self,
        source: Source,
        options: RestoreOptions | None = None,
        *,
        progress: Progress | None = None,
        **changes: Any,
    ) -> Result:
        """`restore` in a thread, so that an event loop goes on; a cancelled one ends at its next step."""
        import asyncio

        cancelled = threading.Event()

        def watch(stage: Stage) -> None:
            if cancelled.is_set():
                raise asyncio.CancelledError
            (progress or silent)(stage)

        try:
            return await asyncio.to_thread(self.restore, source, options, progress=watch, **changes)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    def with_pages(self, result: Result, options: RestoreOptions, progress: Progress | None = None) -> Result:
        """The result with the other pages of its file, restored, where the options ask for all of them.

        Raises as `restore`; PhotoTooLargeError where the results together would be too large.
        """
        if options.pages != "all" or result.photo.page is None or result.photo.pages == 1:
            return result
        done, most = [result], self.settings.max_output_pixels
        for number in range(1, result.photo.pages):
            try:
                page = replace(result.photo.page(number), pages=1)
                done.append(self.restore(page, options, progress=progress))
            except PhotoError as error:
                raise type(error)(f"page {number + 1}: {error}") from error
            if sum(one.pixels.size // 3 for one in done) > most:
                raise PhotoTooLargeError(
                    f"its {result.photo.pages} pages have more than {most:,} pixels together: choose a "
                    "smaller scale, or raise the limit (--max-output-pixels)"
                )
        changed_by = dict.fromkeys(model for one in done for model in one.changed_by)
        return replace(result, further=tuple(done[1:]), changed_by=tuple(changed_by))

    def analyse(
        self,
        source: Source,
        options: RestoreOptions | None = None,
        *,
        found: Sequence[Face] | None = None,
        progress: Progress | None = None,
        sketch: Sketch | None = None,
        **changes: Any,
    ) -> Restoration:
        """Do all that needs models, for every face whatever the options choose: see `Restoration.render`.

        Arguments and errors as of `restore`. All restored faces are held, 3 MB for one of 512 pixels. They
        come before the rest of the photo, and `sketch` is told of them then.
        """
        job = Job(replace(options or RestoreOptions(), **changes), progress or silent)
        return self._layered(source, job, found, every=True, sketch=sketch)

    def find(self, source: Source) -> list[Face]:
        """The faces of a photo, from left to right, in its upright pixels. Raises PhotoError, ModelError."""
        return sorted(
            self._models.detector().detector.find(eight_bits(self._open(source).pixels)), key=across
        )

    def _layered(
        self,
        source: Source,
        job: Job,
        found: Sequence[Face] | None,
        *,
        every: bool,
        sketch: Sketch | None = None,
    ) -> Restoration:
        """The restoration whose faces are restored while its layers are read; `every` one, or the chosen."""
        with job.timed("decode"):
            photo = self._open(source, damaged=job.options.damaged)
            part = framed(photo, job.options)
        job.progress(Stage("decode", 1, 1))
        path = Path(source) if isinstance(source, str | Path) else None
        if job.options.aligned:
            made = self._aligned(part, path, job, every=every)
        else:
            made = self._whole(part, path, found, job, every=every, sketch=sketch)
        return replace(made, source=photo) if every and made.photo is not photo else made

    def _open(self, source: Source, *, damaged: bool = False) -> Photo:
        if isinstance(source, Photo):
            return source
        if isinstance(source, np.ndarray):
            return from_array(source)
        if isinstance(source, Image.Image):
            return from_pillow(source)
        photo = decode(source, limits=self.settings.limits, damaged=damaged)
        return photo if isinstance(source, bytes) else with_sidecar(photo, Path(source))

    def _whole(
        self,
        photo: Photo,
        path: Path | None,
        given: Sequence[Face] | None,
        job: Job,
        *,
        every: bool,
        sketch: Sketch | None,
    ) -> Restoration:
        (width, height), scale = photo.size, job.options.factor(photo.size)
        most = self.settings.max_output_pixels
        if height * width * scale**2 > most:
            raise PhotoTooLargeError(
                f"the result would have {width * scale} x {height * scale} pixels, "
                f"more than the limit of {most:,}: choose a smaller scale, or raise it (--max-output-pixels)"
            )
        model, scene = self._models.face(), self._models.scene()
        if model is not None:
            require_crops(model)
        identity = self._identity(model, job.options) if model is not None else None
        neutral = photo.gray or tone.is_neutral(photo.pixels)
        auto = job.options.turn == "auto"
        found: list[Face] = []
        detector_label, lie = None, 0
        if model is not None or auto:
            with job.timed("find"):
                photo, found, detector_label, lie = seek(self._models, photo, given, job.options)
            height, width = photo.pixels.shape[:2]
        places: list[Placement | Left] = []
        wanted: Sequence[object] = ()
        if model is None:
            found = []
        else:
            places = place_faces(found, (width, height), model.side, scale)
            wanted = chosen_faces(job.options, found, places)
        job.progress(Stage("find", len(found), len(found)))

        layers: Iterable[FaceLayer] = ()
        if model is not None:
            wanted = places if every else wanted
            smallest_first = sorted(range(len(found)), key=lambda i: area(found[i]))
            todo = [i for i in smallest_first if isinstance(wanted[i], int | Placement)]
            layers = restored_layers(
                photo.pixels, found, todo, model, identity, job=job, neutral=neutral, every=every
            )
            if every:
                layers = tuple(counted(layers, len(todo), job.progress))
            if sketch is not None and todo:
                canvas = resample(photo.pixels, scale)
                all_of_them = replace(job.options, faces="all", strength=1)
                paste_faces(canvas, found, places, layers, Job(all_of_them, silent))
                sketch(photo, replace(photo, pixels=canvas, alpha=None))

        def background(clean: float, progress: Progress) -> Background:
            return enlarge(
                photo.pixels,
                scene and scene.for_photo(scale, clean),
                scale=scale,
                keep=job.keep,
                neutral=neutral,
                budget=self._budget,
                on_tile=lambda done, total: progress(Stage("scene", done, total)),
            )

        with job.timed("scene"):
            rest = background(job.options.clean, job.progress)
            alpha = None if photo.alpha is None else resample(photo.alpha, scale)
        used = scene and scene.for_photo(scale, job.options.clean)
        return Restoration(
            photo=photo,
            options=job.options,
            rest=Result(
                photo=replace(photo, pixels=rest.canvas, alpha=alpha, gray=photo.gray and job.keep),
                faces=(),
                input=path,
                size_in=(width, height),
                scale=scale,
                background=rest.method,
                models=labels_of(model, used, identity) | {"finder": detector_label},
                changed_by=(used.label,) if used else (),
                runtime=runtime_of(model or used),
                seconds=job.seconds(),
                digests=digests_of(model, used),
                turned=lie if auto else job.options.turn_by_hand,
                turn_offered=0 if auto else lie,
            ),
            found=found,
            places=places,
            layers=layers,
            face_model=model.label if model else None,
            level=neutral and job.keep,
            background=background if scene is not None and scene.listens(scale) else None,
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

    def _aligned(self, photo: Photo, path: Path | None, job: Job, *, every: bool) -> Restoration:
        model = self._models.face()
        if model is None:
            raise UsageError("an aligned face needs a face model: choose one instead of none")
        identity = self._identity(model, job.options)
        height, width = photo.pixels.shape[:2]
        canvas = square(photo.pixels, model.side).copy()
        small = tiles.to_float(square(photo.pixels, model.size))
        neutral = photo.gray or tone.is_neutral(photo.pixels)
        with job.timed("faces"):
            crop = Crop(0, small, job.options.strength)
            (layer,) = restore_crops(model, identity, [crop], job, neutral=neutral, every=every)
        if isinstance(layer.picture, FaceError):
            raise layer.picture
        job.progress(Stage("faces", 1, 1))
        points = np.zeros((0, 2)) if model.whole else template(model.side)
        whole = Face(
            (0.0, 0.0, float(width), float(height)),
            points * (width / model.side, height / model.side),
            1.0,
        )
        return Restoration(
            photo=photo,
            options=job.options,
            rest=Result(
                photo=replace(
                    photo,
                    pixels=canvas,
                    alpha=None if photo.alpha is None else square(photo.alpha, model.side),
                    gray=photo.gray and job.keep,
                ),
                faces=(),
                input=path,
                size_in=(width, height),
                scale=1,
                background="none: an aligned face",
                models=labels_of(model, None, identity) | {"finder": None},
                changed_by=(),
                runtime=runtime_of(model),
                seconds=job.seconds(),
                digests=digests_of(model),
                turned=job.options.turn_by_hand,
            ),
            found=(whole,),
            places=(),
            layers=(layer,),
            face_model=model.label,
            level=neutral and job.keep,
        )
