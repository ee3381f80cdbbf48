"""One job: from the upload on disk to the result on disk."""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Callable
from dataclasses import replace

from PIL import Image

from revisage.errors import PhotoError, SaveError
from revisage.image import Photo, can_encode, decode, eight_bits
from revisage.restore import RestoreOptions, Restorer, Result, Stage
from revisage.server.files import Files, result_key
from revisage.server.inference_cache import InferenceCache
from revisage.server.problems import ProblemError
from revisage.server.queue.jobs import Job

log = logging.getLogger(__name__)

PREVIEW_SIDE = 1600
"""Longest side of a preview in pixels."""


def restore_job(
    job: Job,
    files: Files,
    restorer: Restorer,
    cache: InferenceCache,
    watch: Callable[[Stage], None],
    *,
    guard: float | None = None,
) -> tuple[str, dict[str, float]]:
    """Restore a job's photo and publish the result, unless an earlier attempt has.

    `watch` is told of every step and may raise to stop; `guard` is for a job that names none. Returns the
    result's key and the seconds by stage. Raises what `Restorer.run` and encoding raise.
    """
    key = result_key(job.digest, job.options)
    if files.is_published(job.id, key):
        return key, {}
    cache.begin(job.digest)
    start = time.perf_counter()
    try:
        photo = decode(files.upload(job.id), limits=restorer.settings.limits)
    except PhotoError:
        files.drop_upload(job.id)  # another attempt would fail the same way: it need not lie there
        raise
    decoding = round(time.perf_counter() - start, 4)
    options, chosen = job.options, job.options.restoring(guard)
    result = restorer.run(photo, chosen, progress=watch)
    watch(Stage("save", 0, 1))
    format = _format(photo, options.format)
    data = result.encode(format, quality=options.quality, keep_gps=options.keep_gps, label=options.label)
    previews = _previews(photo, result, restorer, chosen, cache) if options.previews else {}
    result.seconds["decode"] = decoding
    report = result.report()
    report["photos"][0]["input"] = job.name
    report["photos"][0]["previews"] = sorted(previews)
    watch(Stage("save", 1, 1))
    try:
        files.publish(job, key, result=data, format=format, previews=previews, report=report)
    except SaveError as error:
        log.error("a result cannot be kept: %s", error)  # with its path, which is not for the client
        raise ProblemError(507, "no-space", "the server cannot keep the result: try again later") from None
    return key, dict(result.seconds)


def _format(photo: Photo, wanted: str) -> str:
    if wanted != "auto":
        return wanted
    return photo.format if can_encode(photo.format) else "PNG"


def _previews(
    photo: Photo, result: Result, restorer: Restorer, chosen: RestoreOptions, cache: InferenceCache
) -> dict[str, bytes]:
    """Pictures to compare. Those without and with all faces need no model again while `recall` holds its
    answers; where it could not, they are left out rather than computed anew."""
    size = result.photo.size
    pictures = {"before": photo, "after": result.photo}
    if not chosen.aligned and not cache.is_full:
        options = replace(chosen, strength=1.0, faces="all")
        pictures["without"] = restorer.run(photo, replace(options, strength=0.0)).photo
        pictures["with"] = result.photo if chosen == options else restorer.run(photo, options).photo
    return {name: _preview(picture, size) for name, picture in pictures.items()}


def _preview(photo: Photo, size: tuple[int, int]) -> bytes:
    """A JPEG of the photo as large as a picture of `size` fits into the longest side."""
    shrink = min(1.0, PREVIEW_SIDE / max(size))
    target = (max(1, round(size[0] * shrink)), max(1, round(size[1] * shrink)))
    image = Image.fromarray(eight_bits(photo.pixels))
    if photo.alpha is not None:
        white = Image.new("RGB", image.size, "white")
        image = Image.composite(image, white, Image.fromarray(eight_bits(photo.alpha)))
    image = (image.convert("L") if photo.gray else image).resize(target, Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=90, subsampling=0, icc_profile=photo.icc)
    return stream.getvalue()
