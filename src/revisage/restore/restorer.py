"""One photo, whole: decode, find, background, faces. No per-photo state, so threads share it."""

import os
import threading
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from PIL import Image

from revisage.errors import FaceError, PhotoError, PhotoTooLargeError, UsageError
from revisage.faces import Face, template
from revisage.files import absent, out_of_reach, typed
from revisage.image import Photo, decode, eight_bits, from_array, from_pillow, with_sidecar
from revisage.image.prints import framed
from revisage.masks import Buffer
from revisage.options import RestoreOptions, Settings
from revisage.restore import colour, faces, tiles
from revisage.restore.background import Background, enlarge, resample, square
from revisage.restore.job import Job, Sketch, with_changes
from revisage.restore.memory import free_share
from revisage.restore.models import FaceModel, IdentityModel, InstalledModels, ModelSource, SceneModel
from revisage.restore.paste import Placement
from revisage.restore.progress import Progress, Stage, listener
from revisage.restore.red_eyes import without_red_eyes
from revisage.restore.repair import repaired
from revisage.restore.restoration import Restoration
from revisage.restore.result import Result
from revisage.restore.seek import seek
from revisage.restore.tone import estimate

Source = str | os.PathLike[str] | Buffer | Image.Image | np.ndarray | Photo


class Restorer:
    """Restores photos with models that are opened on first use and kept.

    One Restorer may be used from many threads at once: a call shares nothing with another but the models.

    The models are by default the installed ones that the settings name; `changes` are fields of `Settings`
    that differ: `Restorer(device="cpu")`. Raises UsageError for a value that makes no sense.
    """

    def __init__(
        self, settings: Settings | None = None, *, models: ModelSource | None = None, **changes: Any
    ) -> None:
        self.settings = with_changes(settings, Settings, changes)
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
        """Open the models that `options` need now, so that what is missing is told before the first photo.
        Raises UsageError for a guard without an identity model, and for a model of whole pictures
        (`FaceModel.whole`) with a guard or without `aligned`; ModelError, RuntimeUnavailableError."""
        options = with_changes(options, RestoreOptions, {})
        self._models.scene()
        if options.repair != "off" and options.mask is None:
            self._models.damage()
        model, _ = self._for_faces(options)
        if model is not None or options.turn == "auto" or options.red_eyes:
            self._models.detector()

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
            PhotoError: the photo cannot be read, or the result would be too large.
            ModelError: a model is unknown, missing or corrupt.
            FaceError: `aligned`, and the face model failed.
        """
        job = Job(with_changes(options, RestoreOptions, changes), listener(progress), given=found)
        restoration = self._layered(source, job)
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

        cancelled, told = threading.Event(), listener(progress)

        def watch(stage: Stage) -> None:
            if cancelled.is_set():
                raise asyncio.CancelledError
            told(stage)

        try:
            return await asyncio.to_thread(self.restore, source, options, progress=watch, **changes)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    def with_pages(self, result: Result, options: RestoreOptions, progress: Progress | None = None) -> Result:
        """The result with the other pages of its file, restored, where the options ask for all of them.
        Raises as `restore`; PhotoTooLargeError where the results together would be too large."""
        if options.pages != "all" or result.photo.page is None or result.photo.pages == 1:
            return result
        done, most = [result], self.settings.max_output_pixels
        # Boxes and a mask are drawn on the first.
        options = replace(options, face=(), mask=None, repair="off" if options.mask else options.repair)
        for number in range(1, result.photo.pages):
            try:
                page = replace(result.photo.page(number), pages=1)
                done.append(self.restore(page, options, progress=progress))
            except (PhotoError, UsageError) as error:
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
        chosen = with_changes(options, RestoreOptions, changes)
        return self._layered(source, Job(chosen, listener(progress), given=found, every=True, sketch=sketch))

    def find(self, source: Source) -> list[Face]:
        """The faces of a photo, from left to right, in its upright pixels. Raises PhotoError, ModelError."""
        pixels = eight_bits(self._open(source).pixels)
        return sorted(self._models.detector().detector.find(pixels), key=faces.across)

    def _layered(self, source: Source, job: Job) -> Restoration:
        """The restoration whose faces are restored while its layers are read."""
        with job.timed("decode"):
            photo = self._open(source, damaged=job.options.damaged)
            part, job.frame = framed(photo, job.options)
        job.progress(Stage("decode", 1, 1))
        job.neutral = part.gray or colour.is_neutral(part.pixels)
        with job.timed("repair"):
            mended, job.repair = repaired(part, job.options, self._models, self.settings.limits)
        made = (self._aligned if job.options.aligned else self._whole)(mended, job)
        made.rest.input = Path(os.fsdecode(source)) if isinstance(source, str | os.PathLike) else None
        if not job.every:
            return made
        before = part.turned(made.rest.turned if job.options.turn == "auto" else 0)
        return replace(made, before=before, source=None if before is photo else photo)

    def _open(self, source: Source, *, damaged: bool | None = None) -> Photo:
        if isinstance(source, Photo):
            return source
        if isinstance(source, np.ndarray):
            return from_array(source)
        if isinstance(source, Image.Image):
            return from_pillow(source)
        if isinstance(source, Buffer):
            return decode(bytes(source), limits=self.settings.limits, damaged=damaged)
        if isinstance(source, str) and not out_of_reach(Path(source)):
            typed(source)  # which tells what is no file's name
        if not isinstance(source, str | os.PathLike):
            hint = ": give what its read() returns" if hasattr(source, "read") else ""
            kinds = "a path, the bytes of a file, a Pillow image or an array"
            raise UsageError(f"a photo is {kinds}, not {type(source).__name__}{hint}")
        path = Path(os.fsdecode(source))
        if not os.path.exists(path):
            raise PhotoError(str(absent(path)))
        if path.is_dir():
            raise PhotoError(f"{path} is a folder: give each photo in it by itself")
        return with_sidecar(decode(path, limits=self.settings.limits, damaged=damaged), path)

    def _whole(self, photo: Photo, job: Job) -> Restoration:
        (width, height), scale = photo.size, job.options.factor(photo.size)
        most = self.settings.max_output_pixels
        if height * width * scale**2 > most:
            raise PhotoTooLargeError(
                f"the result would have {width * scale} x {height * scale} pixels, "
                f"more than {most:,}: choose a smaller scale, or raise the limit (--max-output-pixels)"
            )
        scene, (model, identity) = self._models.scene(), self._for_faces(job.options)
        found: list[Face] = []
        lie = 0
        if model is not None or job.options.turn == "auto" or job.options.red_eyes:
            with job.timed("find"):
                photo, found, job.finder, lie = seek(self._models, photo, job.given, job.options)
        if job.options.red_eyes:
            photo, job.red_eyes = without_red_eyes(photo, found)
        if model is None:
            found = []
        places = [faces.place_face(face, photo.size, model.side, scale) for face in found] if model else []
        strengths = job.options.chosen([faces.area(face) for face in found]) if model else {}
        job.progress(Stage("find", len(found), len(found)))

        layers: Iterable[faces.FaceLayer] = ()
        if model is not None:
            todo = {
                i: (found[i], strengths.get(i, job.options.strength))
                for i in sorted(range(len(found)), key=lambda i: faces.area(found[i]))
                if isinstance(places[i], Placement) and (job.every or strengths.get(i))
            }
            layers = faces.restored_layers(photo.pixels, todo, model, identity, job)
            if job.every:
                layers = tuple(faces.counted(layers, len(todo), job.progress))
            if job.sketch is not None and todo:
                canvas = resample(photo.pixels, scale)
                shown = Job(replace(job.options, faces="all", strength=1))
                faces.paste_faces(canvas, found, places, layers, shown)
                job.sketch(photo, replace(photo, pixels=canvas, alpha=None))

        def background(clean: float, progress: Progress) -> Background:
            return enlarge(
                photo.pixels,
                scene and scene.for_photo(scale, clean),
                scale=scale,
                keep=job.keep,
                neutral=job.neutral,
                budget=self._budget,
                on_tile=lambda done, total: progress(Stage("scene", done, total)),
            )

        with job.timed("scene"):
            rest = background(job.options.clean, job.progress)
            alpha = None if photo.alpha is None else resample(photo.alpha, scale)
        used = scene and scene.for_photo(scale, job.options.clean)
        result = _unpasted(photo, job, rest, (model, used, identity), alpha=alpha, scale=scale)
        if job.options.turn == "auto":
            result.turned, result.repair = lie, job.repair and job.repair.turned(lie)
        else:
            result.turn_offered = lie
        return Restoration(
            photo,
            job.options,
            result,
            found,
            places,
            layers,
            level=job.neutral and job.keep,
            tone=lambda: estimate(photo.pixels, self._models.tone(), found),
            background=background if used and used.control else None,
        )

    def _for_faces(self, options: RestoreOptions) -> tuple[FaceModel | None, IdentityModel | None]:
        """The models that restore faces and tell who they show. Raises UsageError, as `check`."""
        model = self._models.face()
        if model is None:
            return None, None
        if model.whole:
            if not options.aligned:
                raise UsageError(
                    f"{model.label} takes whole pictures of one face, not faces cut out of a photo: add "
                    "aligned (--aligned) for such pictures, or choose another model"
                )
            if options.guard is not None:  # it looks at faces on the template
                raise UsageError(f"the guard cannot judge whole pictures: leave it out with {model.label}")
            return model, None
        identity = self._models.identity()
        if identity is None and options.guard is not None:
            raise UsageError("the guard needs an identity model, and none is installed")
        return model, identity

    def _aligned(self, photo: Photo, job: Job) -> Restoration:
        model, identity = self._for_faces(job.options)
        if model is None:
            raise UsageError("an aligned face needs a face model: choose one instead of none")
        width, height = photo.size
        points = np.zeros((0, 2)) if model.whole else template(model.side)
        scaled = points * (width / model.side, height / model.side)
        whole = Face((0.0, 0.0, float(width), float(height)), scaled, 1.0)
        if job.options.red_eyes and not model.whole:
            photo, job.red_eyes = without_red_eyes(photo, (whole,))
        small = tiles.to_float(square(photo.pixels, model.size))
        with job.timed("faces"):
            crop = faces.Crop(0, small, job.options.strength)
            (layer,) = faces.restore_crops(model, identity, [crop], job)
        if isinstance(layer.picture, FaceError):
            raise layer.picture
        job.progress(Stage("faces", 1, 1))
        rest = Background(square(photo.pixels, model.side).copy(), "none: an aligned face")
        alpha = None if photo.alpha is None else square(photo.alpha, model.side)
        return Restoration(
            photo,
            job.options,
            _unpasted(photo, job, rest, (model, None, identity), alpha=alpha),
            found=(whole,),
            places=(),
            layers=(layer,),
            level=job.neutral and job.keep,
            tone=lambda: estimate(photo.pixels, self._models.tone(), (whole,)),
        )


Used = tuple[FaceModel | None, SceneModel | None, IdentityModel | None]


def _unpasted(
    photo: Photo, job: Job, rest: Background, used: Used, *, alpha: np.ndarray | None, scale: int = 1
) -> Result:
    """The result before any face is on it."""
    face, scene, identity = used
    models = {"face": face, "scene": scene, "identity": identity}
    changing = [model for model in (face, scene) if model]
    return Result(
        photo=replace(photo, pixels=rest.canvas, alpha=alpha, gray=photo.gray and job.keep),
        faces=(),
        input=None,
        size_in=photo.size,
        scale=scale,
        background=rest.method,
        models={task: model.label if model else None for task, model in models.items()}
        | {"finder": job.finder},
        changed_by=rest.changed_by,
        repair=job.repair,
        red_eyes=job.red_eyes,
        frame=job.frame,
        runtime=asdict(changing[0].session.info) if changing else None,
        seconds=job.seconds(),
        digests={model.label: model.digests for model in changing},
        turned=job.options.turn_by_hand,
    )
