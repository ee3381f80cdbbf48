"""One photo's way through a batch in three steps, the same for all engines: read, restore, write."""

import errno
import time
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from revisage import errors
from revisage.batch import storage
from revisage.batch.jobs import Job, Outcome, Reason
from revisage.files import copy_date, sha256
from revisage.image import DecodeLimits, Photo, can_encode, decode, format_of, with_sidecar
from revisage.label import Original, can_sign, results
from revisage.options import SaveOptions
from revisage.restore import Progress, RestoreOptions, Restorer, Result, Stage, failure

PHOTO_SECONDS = 3600.0  #: longest time to restore one photo where none is given: large scans on slow machines
NO_MEMORY = "not enough memory for this photo: use --scale 1 or --workers 1, or close other programs"


def check_target(job: Job, saving: SaveOptions) -> None:
    """Tell, before the work and again before writing, that a file in the result's place is not to be lost.
    Raises SaveError for the original or a folder, ExistsError for a file that Revisage did not make, or has
    made of another photo, or that was changed since."""
    if storage.same(job.source, job.target):
        raise errors.SaveError(f"{job.target} is the original and is never written to: choose another name")
    if saving.overwrite or job.again:
        return
    told = storage.objection(job.target, job.source, sure=job.again is False)
    if job.other is not None and told in (None, results.ANOTHER):
        told = f"{results.ANOTHER}, {job.other}"
    if told is not None:
        raise errors.ExistsError(f"{job.target} {told}: choose another name or folder, or give --overwrite")


@dataclass(frozen=True)
class Marks:
    """What is remembered of a photo's file."""

    stamp: str | None
    digest: str | None
    seconds: float


def read(
    job: Job, limits: DecodeLimits, saving: SaveOptions, *, damaged: bool = False
) -> tuple[Photo, Marks]:
    """Decode the photo, with its further pages where the result can hold them. Raises PhotoError, OSError."""
    start = time.perf_counter()
    stamp = storage.stamp(job.source)  # first: a file that changes meanwhile has another one at the next run
    data = job.source if isinstance(job.source, Path) else storage.read(job.source)
    photo = decode(data, limits=limits, damaged=damaged)
    photo = with_sidecar(photo, data) if isinstance(data, Path) else photo
    if _format(job, photo.format, saving) != "TIFF":
        photo = replace(photo, page=None)
    seconds = time.perf_counter() - start
    digest = storage.digest(data) if isinstance(data, Path) else sha256(data)
    return photo, Marks(stamp, digest, seconds)


def restore(
    photo: Photo, restorer: Restorer, options: RestoreOptions, progress: Progress | None, *, seconds: float
) -> Result:
    """Restore the photo. Raises as `Restorer.restore`; PhotoTooLargeError when it takes more `seconds`."""
    until = time.monotonic() + seconds

    def watch(stage: Stage) -> None:
        if time.monotonic() > until:
            how = "choose a smaller --scale, or raise --photo-seconds"
            raise errors.PhotoTooLargeError(f"it takes longer than {seconds:g} s: {how}")
        if progress is not None:
            progress(stage)

    return restorer.restore(photo, options, progress=watch)


def write(job: Job, marks: Marks, result: Result, saving: SaveOptions) -> Outcome:
    """Write the result, whole or not at all. Raises SaveError, SigningError, OSError."""
    format = _format(job, result.photo.format, saving)
    assert format, job.target  # as it was planned
    check_target(job, saving)
    result.seconds["decode"] = round(marks.seconds, 4)
    original = None if saving.sign is None else _original(job, marks, result.photo.format)
    data = result.encode(format, saving, original=original)
    start = time.perf_counter()
    if storage.is_stream(job.target):
        storage.write(job.target, data)
    else:
        results.remember(data, job.source)  # first: a run may be killed in between
        storage.write(job.target, data, like=job.source)
        if isinstance(job.target, Path):
            if saving.date == "keep" and isinstance(job.source, Path):
                copy_date(job.source, job.target)
            result.save_beside(job.target, saving)
    result.seconds["encode"] = round(result.seconds["encode"] + time.perf_counter() - start, 4)
    entry = result.entry() | {"input": str(job.source), "output": str(job.target), "reason": None}
    return Outcome(job, entry, digest=marks.digest, stamp=marks.stamp, written=len(data))


def _format(job: Job, own: str, saving: SaveOptions) -> str:
    """The result's, of a photo whose `own` it is."""
    if not storage.is_stream(job.target):
        return format_of(Path(str(job.target))) or ""
    writable = can_encode(own) and (saving.sign is None or can_sign(own))
    return saving.chosen_format or (own if writable else "PNG")


def _original(job: Job, marks: Marks, format: str) -> Original:
    """The photo's file, read again: it would be in the way while the models have the memory."""
    data = storage.read(job.source)
    if not (marks.digest or "").startswith(sha256(data)):
        raise errors.SigningError(f"{job.source} was changed while restored: run the same command again")
    return Original(data, format, PurePosixPath(str(job.source)).name)


def failed(
    job: Job, error: Exception, marks: Marks | None = None, *, reason: Reason | None = None
) -> Outcome:
    """The outcome of a photo that an error befell: typed, and told in one line."""
    reason = reason or reason_of(error)
    if reason == "internal":
        # A defect of ours must not cost the user the other photos of a long run; it is named as one.
        why = f"{type(error).__name__}: {error}"
        error = errors.RevisageError(f"internal error ({why}); please report it with this photo")
    elif reason == "memory":
        error = errors.RevisageError(NO_MEMORY)
    elif isinstance(error, OSError):
        error = errors.PhotoError(f"it cannot be opened ({error.strerror or error})")
    entry = failure(job.source, error) | {"reason": reason}
    stamp = marks.stamp if marks else storage.stamp(job.source)
    digest = marks.digest if marks else storage.digest(job.source)
    return Outcome(job, entry, entry["error"], reason, digest, stamp)


def crashed(job: Job) -> Outcome:
    """The outcome of a photo whose process died with it several times."""
    why = "the process that restored it died with it time and again: it may need more memory than there is"
    return failed(job, errors.PhotoError(why), reason="crashed")


def reason_of(error: Exception) -> Reason:
    """What kind of error befell a photo."""
    cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
    number = cause.errno if isinstance(cause, OSError) else None
    if isinstance(error, errors.SaveError) and not isinstance(error, errors.ExistsError):
        if number is None:
            return "unencodable"
        return "disk-full" if number in (errno.ENOSPC, errno.EDQUOT) else "unwritable"
    if isinstance(cause, OSError):
        gone = number in (errno.ENOENT, errno.ENOTDIR) or isinstance(cause, FileNotFoundError)
        return "vanished" if gone else "unreadable"
    return next((reason for kind, reason in _REASONS.items() if isinstance(error, kind)), "internal")


_REASONS: dict[type[Exception], Reason] = {
    errors.ExistsError: "exists",
    errors.UnsupportedFormatError: "unsupported",
    errors.PhotoTooLargeError: "too-large",
    errors.PhotoError: "damaged",
    MemoryError: "memory",
    errors.ModelError: "model",
    errors.RuntimeUnavailableError: "model",
    errors.SigningError: "unsigned",
    errors.UsageError: "bad-option",
    errors.RevisageError: "damaged",
}
