"""One job: from the upload on disk to the result on disk."""

import io
import logging
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from revisage.errors import DamagedError, PhotoError, SaveError
from revisage.files import sweep
from revisage.image import Photo, can_encode, eight_bits, from_array
from revisage.options import RestoreOptions
from revisage.restore import Progress, Restoration, Restorer, Result, Stage
from revisage.server.files import Files, Preview, result_key
from revisage.server.options import JobOptions
from revisage.server.problems import ProblemError
from revisage.server.queue.jobs import Job

log = logging.getLogger(__name__)

PREVIEW_SIDE = 3200  #: longest side of a preview: what is doubled without being asked is shown pixel by pixel
THUMB_SIDE = 192  #: longest side of a thumbnail in pixels
MEMORY = 512 << 20  #: bytes that the last photo may take between two jobs; a larger one is analysed again


@dataclass
class LastPhoto:
    """What the models have made of the last photo, so that another strength, choice of faces or format runs
    none of them again. For one thread."""

    memory: int = MEMORY
    digest: str = ""
    models: tuple[str, str] = ("", "")
    restoration: Restoration | None = None

    def forget(self) -> None:
        """Let go of the photo."""
        self.digest, self.restoration = "", None

    def of(self, digest: str, options: JobOptions, watch: Progress) -> Restoration | None:
        """The restoration of the photo with this digest, cleaned as told; None where it must be analysed."""
        same = (digest, (options.model, options.scene)) == (self.digest, self.models)
        if self.restoration is None or not same or not self.restoration.serves(options):
            self.forget()
            return None
        self.restoration = self.restoration.cleaned(options.clean, watch)
        return self.restoration

    def keep(self, digest: str, options: JobOptions, restoration: Restoration) -> None:
        """Remember it, unless it is too large."""
        if restoration.nbytes <= self.memory:
            self.digest, self.models = digest, (options.model, options.scene)
            self.restoration = restoration


def restore_job(
    job: Job, files: Files, restorer: Restorer, last: LastPhoto, watch: Progress, *, guard: float | None
) -> tuple[str, dict[str, float]]:
    """Restore a job's photo and publish the result, unless an earlier attempt has. Returns its key, and
    seconds by stage. `watch` may raise to stop; `guard` is for a job without one. Raises as
    `Restorer.restore`."""
    sweep(files.folder(job.id))  # of what a killed attempt has left half written
    key = result_key(job.digest, job.options)
    if files.is_published(job.id, key):
        return key, {}
    guarded = job.options.guard is not None or job.options.model == "none"
    options = job.options if guarded else replace(job.options, guard=guard)
    restoration = last.of(job.digest, options, watch)
    if restoration is None:
        stages: list[str] = []

        def listen(stage: Stage) -> None:
            stages.append(stage.name)
            watch(stage)

        def publish(photo: Photo, sketch: Photo) -> None:
            files.publish_previews(job.id, key, {"before": _jpeg(photo), "sketch": _jpeg(sketch)})

        sketch = publish if options.previews else None
        try:
            upload = files.upload(job.id)
            restoration = restorer.analyse(upload, options, progress=listen, sketch=sketch)
        except PhotoError as error:
            # What does not decode would not the next time: only the job stays, and says why.
            if not stages and not isinstance(error, DamagedError):
                files.upload(job.id).unlink(missing_ok=True)
            raise
        last.keep(job.digest, options, restoration)
    own = restoration.photo.format
    format = options.chosen_format or (own if can_encode(own) else "PNG")
    result = restoration.render(options)
    if format == "TIFF":  # no other holds pages
        result = restorer.with_pages(result, options, watch)
    watch(Stage("save", 0, 1))
    data = result.encode(format, options)
    previews = _previews(restoration, result, options) if options.previews else {}
    report = result.report()
    report["photos"][0]["input"] = job.name
    report["photos"][0] |= {"previews": sorted(previews), "can_clean": restoration.can_clean}
    watch(Stage("save", 1, 1))
    try:
        files.publish_previews(job.id, key, previews)
        files.publish(job.id, key, data, format, report)
    except SaveError as error:
        log.error("a result cannot be kept: %s", error)  # with its path, which is not for the client
        raise ProblemError(507, "no-space", "the server cannot keep the result: try again later") from None
    return key, dict(result.seconds)


def _previews(restoration: Restoration, result: Result, options: RestoreOptions) -> dict[Preview, bytes]:
    """Pictures to compare: the photo, its result, the result without and with all faces, and the repair."""
    previews: dict[Preview, bytes] = {
        "before": _jpeg(restoration.before or restoration.photo),
        "after": _jpeg(result.photo),
        "thumb": _jpeg(result.photo, THUMB_SIDE),
    }
    if restoration.source is not None:
        previews["source"] = _jpeg(restoration.source)
    if result.repair is not None and result.repair.mask.any():
        previews["mask"] = _jpeg(from_array(result.repair.mask * np.uint8(255)))
    if not options.aligned:
        previews["without"] = _jpeg(restoration.render(options, strength=0.0, faces="all").photo)
        previews["with"] = _jpeg(restoration.render(options, strength=1.0, faces="all").photo)
    return previews


def _jpeg(photo: Photo, side: int = PREVIEW_SIDE) -> bytes:
    """The photo, reduced until its longest side is within `side`."""
    image = Image.fromarray(eight_bits(photo.pixels))
    if photo.alpha is not None:
        white = Image.new("RGB", image.size, "white")
        image = Image.composite(image, white, Image.fromarray(eight_bits(photo.alpha)))
    image = image.convert("L") if photo.gray else image
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=90, subsampling=0, icc_profile=photo.icc)
    return stream.getvalue()
