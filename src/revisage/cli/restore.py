"""`revisage restore`: photos in, restored photos out."""

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Annotated

from annotated_types import Interval

from revisage import batch
from revisage.batch import Job, Location, Manifest
from revisage.batch.engines.processes import Work
from revisage.batch.engines.ray import connected
from revisage.batch.frames import FolderSink
from revisage.batch.photo import PHOTO_SECONDS, check_target
from revisage.batch.storage import STANDARD, is_stream, same
from revisage.cli._parse import parse
from revisage.cli._report import Report
from revisage.cli._report import check as check_report
from revisage.cli._run import LOCAL, Engine, Run, in_processes, name_ray_address, on_ray, process_count, work
from revisage.cli._say import say
from revisage.cli._video import Film
from revisage.cli._video import restore as restore_film
from revisage.errors import SaveError, UsageError
from revisage.files import sweep, typed
from revisage.image import can_encode, format_of
from revisage.image.names import MASK, shortened
from revisage.label import can_sign, check, results
from revisage.masks import mask_text
from revisage.options import Arg, Credentials, RestoreOptions, SaveOptions, Settings
from revisage.restore import Restorer
from revisage.restore.repair import drawn

GROUPS = {
    "everyday": (
        "out", "strength", "clean", "faces", "face", "turn", "straighten", "crop", "scale", "colour",
        "revive", "repair", "mask", "save_mask", "red_eyes", "damaged", "format", "overwrite",
    ),
    "large jobs": (
        "report", "resume", "retry_failed", "manifest", "workers", "processes", "ray", "video", "memory",
        "photo_seconds",
    ),
}  # fmt: skip
"""Options by their heading in the help; all others are for experts."""

EXAMPLES = """examples:
  revisage grandmother.jpg
  revisage family.jpg -o family.png --faces 1,3 --strength 0.7
  revisage restore scans -o restored --resume --report report.json
"""


@dataclass(frozen=True)
class Options:
    """Restore photos, or every photo in folders and below. An original is never written to.

    Without -o a photo is written as NAME.restored.EXT beside it, a folder into NAME.restored.
    """

    photos: Annotated[tuple[str, ...], Arg(metavar="PHOTO|DIR", positional=True)]
    """Photos and folders; or one folder by URL, such as s3://bucket/scans; or - for a photo from stdin."""
    out: Annotated[str | None, Arg(aliases=("-o",), metavar="FILE|DIR")] = None
    """A file for one photo, a folder for several; the folder may be a URL; - is stdout."""
    restoring: RestoreOptions = field(default_factory=RestoreOptions)
    settings: Settings = field(default_factory=Settings)
    saving: SaveOptions = field(default_factory=SaveOptions)
    report: Annotated[Path | None, Arg(metavar="FILE.json|.jsonl")] = None
    """Write what was done to every photo and face as JSON; also now and then while the work goes on.
    FILE.jsonl gets one line for each photo as soon as it is done."""
    resume: bool = False
    """Do only what is missing or has changed since the last run with --resume into this OUT."""
    retry_failed: bool = False
    """With --resume: also try again the photos that failed by themselves, such as damaged ones."""
    manifest: Annotated[Path | None, Arg(metavar="FILE")] = None
    """Where --resume remembers what is done; OUT/.revisage/manifest.sqlite if not given."""
    sign: Annotated[tuple[Path, Path] | None, Arg(metavar="CERT.pem KEY.pem")] = None
    """Sign the results (C2PA) with a certificate, followed by those above it, and its key; only the
    certificate gets into the files. BMP photos become PNG. `revisage label FILE` shows what is signed."""
    timestamp: Annotated[str | None, Arg(metavar="URL")] = None
    """With --sign: a time stamp server, so that the signatures outlast the certificate; the only thing that
    signing asks of the network, and the server gets no part of the photo."""
    workers: Annotated[int, Interval(ge=1)] = 2
    """Photos in hand at once: one is read or written while another is in the models; each takes memory."""
    processes: Annotated[str, Arg(metavar="auto|N")] = "auto"
    """Processes that share the cores, each with --workers photos in hand; auto: from 100 photos on, as many
    as the first photos show to be fastest, else none but this one."""
    ray: Annotated[str | None, Arg(metavar="[ADDRESS]")] = None
    """Restore with Ray, on this machine or on the cluster at ADDRESS (auto, HOST:PORT, ray://HOST:PORT);
    implies --resume."""
    video: bool = False
    """The input is a film: a folder of frames in the order of their names, or a video file.
    Faces are followed through it, so that they do not flicker."""
    photo_seconds: Annotated[float, Interval(gt=0)] = PHOTO_SECONDS
    """Longest time for one photo; one that takes longer fails, and the others go on."""


def main(argv: Sequence[str]) -> int:
    """Run the command; 0: every photo done, 1: some failed (each named on stderr), 2: bad usage. Raises
    KeyboardInterrupt after Ctrl-C, once the report of what was done is written."""
    with contextlib.ExitStack() as opened:
        options = parse(Options, "restore", name_ray_address(argv), groups=GROUPS, examples=EXAMPLES)
        return _restore_film(options) if options.video else work(_prepare(options, opened))


def _prepare(options: Options, opened: contextlib.ExitStack) -> Run:
    """Check everything that can be checked before the work. Raises RevisageError."""
    places = batch.locations(options.photos)
    out = None if options.out is None else batch.destination(options.out)
    if out is None and len(places) == 1 and isinstance(places[0], Path) and places[0].is_dir():
        out = batch.results_folder(places[0])
    format = options.saving.chosen_format
    if format is not None and not can_encode(format):
        raise UsageError(f"--format {options.saving.format}: this machine cannot write it; choose another")

    def writable(format: str) -> bool:
        return can_encode(format) and (options.sign is None or can_sign(format))

    plan = partial(batch.plan_locations, tell=partial(say, error=True))
    jobs = plan(places, out, writable, format, as_folder=(options.out or "").endswith(("/", os.sep)))
    if (options.restoring.face or options.restoring.mask is not None) and len(jobs) > 1:
        raise UsageError("--face and --mask are for one photo: name that photo alone, one in each run")
    if options.restoring.mask is not None and isinstance(target := jobs[0].target, Path):
        beside = [target.with_name(shortened(target.name, MASK))] if options.saving.save_mask else []
        if any(same(typed(options.restoring.mask), one) for one in (target, *beside)):
            raise UsageError("the mask would be written over: choose another name with -o")
    if options.saving.save_mask and options.restoring.repair == "off" and options.restoring.mask is None:
        raise UsageError("--save-mask writes what was repaired: add --repair full, or a --mask")
    if options.saving.save_mask and any(isinstance(job.target, str) or is_stream(job.target) for job in jobs):
        raise UsageError(
            "--save-mask writes beside the result: name a file or folder of this machine with -o"
        )
    _check(options)
    _check_stream(options, jobs[0])
    if len(jobs) == 1 and not options.resume and options.ray is None:
        with _as_usage():
            check_target(jobs[0], options.saving)
    saving = _saving(options)
    _check_signing(saving, jobs)
    if options.report is not None:
        check_report(options.report, jobs, overwrite=saving.overwrite)
    restorer, chosen = Restorer(options.settings), _restoring(options)
    # Once at most, and only where something is remembered by it: it reads every model's file.
    marks = cache(lambda: batch.fingerprint(restorer.settings, chosen, saving))

    def engine_for(photos: int) -> Engine:
        count = process_count(options.processes, photos)
        maker = partial(batch.make_restorer, batch.shared_memory(restorer.settings))
        work = Work(maker, chosen, saving, options.workers, seconds=options.photo_seconds)
        if options.ray is not None and photos:
            opened.enter_context(connected(None if options.ray == LOCAL else options.ray))
            return on_ray(work, count or None, restorer.settings)
        if count != 0:
            return in_processes(work, count, marks())
        restorer.check(chosen)
        run = partial(batch.restore_all, restorer=restorer, options=chosen, saving=saving)
        how = partial(run, workers=options.workers, ordered=not options.resume, seconds=options.photo_seconds)
        return lambda jobs, stop, watch: how(jobs, stop=stop, watch=watch)

    if not options.resume and options.ray is None:
        engine = engine_for(len(jobs))
        return Run(jobs, engine, Report(options.report), lambda outcome: None)
    manifest = opened.enter_context(_open_manifest(options.manifest, jobs, out))
    standing = manifest.standing(jobs, marks(), retry_failed=options.retry_failed)
    engine = engine_for(len(standing.todo))
    todo = frozenset(standing.todo)
    before = manifest.entries([job for job in jobs if job not in todo])
    report = Report(options.report, before)
    return Run(standing.todo, engine, report, lambda outcome: manifest.record(outcome, marks()), standing)


def _restoring(options: Options) -> RestoreOptions:
    """What the photos want, with the mask itself for its file. Raises UsageError for one that is no mask."""
    if options.restoring.mask is None:
        return options.restoring
    mask = mask_text(typed(options.restoring.mask))
    drawn(mask, options.settings.limits)
    return replace(options.restoring, mask=mask)


def _saving(options: Options) -> SaveOptions:
    """How results are written, and by whom they are signed."""
    if options.sign is None:
        if options.timestamp is not None:
            raise UsageError("--timestamp goes with --sign")
        return options.saving
    certificate, key = options.sign
    signer = Credentials(certificate.absolute(), key.absolute(), options.timestamp)
    return replace(options.saving, sign=signer)


def _check_signing(saving: SaveOptions, jobs: Sequence[Job]) -> None:
    """Tell before the first photo what would make every signature fail. Raises RevisageError."""
    if saving.sign is None:
        return
    if not saving.label:
        raise UsageError("--sign says what was edited with AI: leave out --no-label")
    for job in jobs:
        format = format_of(Path(str(job.target)))
        if format is not None and not can_sign(format):
            raise UsageError(f"{job.target}: {format} cannot be signed; use .jpg, .png, .webp or .tif")
    check(saving.sign)


def _restore_film(options: Options) -> int:
    """`--video`. Raises RevisageError before the work."""
    _check(options)
    if options.resume or options.ray is not None or options.sign is not None:
        raise UsageError("--video goes with none of --resume, --ray and --sign")
    if options.restoring.colour == "revive":
        raise UsageError("--video: every frame would be revived by itself, and flicker; leave out --colour")
    chosen = options.restoring
    of_photos = {
        "--face": chosen.face, "--turn": chosen.turn != "keep", "--pages": chosen.pages != "first",
        "--crop print": chosen.crop == "print", "--save-mask": options.saving.save_mask,
        "--format": options.saving.chosen_format,
    }  # fmt: skip
    if given := ", ".join(name for name, is_given in of_photos.items() if is_given):
        raise UsageError(f"{given}: for photos only, does not go with --video")
    if len(options.photos) != 1 or options.out is None:
        raise UsageError("--video takes one folder of frames or one video file, and -o OUT")
    film = Film(typed(options.photos[0]), typed(options.out))
    if options.report is not None:
        check_report(options.report, [Job(film.source, film.out)], overwrite=options.saving.overwrite)
    with _as_usage():
        if film.source.is_dir():
            FolderSink(film.out, options.saving, film.source).check()
        else:
            results.check_free(film.out, film.source, overwrite=options.saving.overwrite)
    restorer = Restorer(options.settings)
    restorer.check(chosen := _restoring(options))
    return restore_film(film, restorer, chosen, options.saving, Report(options.report))


def _check(options: Options) -> None:
    process_count(options.processes, 0)
    if not options.resume and options.ray is None and (options.retry_failed or options.manifest is not None):
        raise UsageError("--retry-failed and --manifest go with --resume")


@contextlib.contextmanager
def _as_usage() -> Iterator[None]:
    """Around what tells before the work that a place is taken: raises UsageError for its SaveError."""
    try:
        yield
    except SaveError as error:
        raise UsageError(str(error)) from None


def _check_stream(options: Options, job: Job) -> None:
    """Raises UsageError for what needs a file."""
    if job.source != STANDARD and not is_stream(job.target):
        return
    if options.resume or options.ray is not None or options.processes != "auto":
        raise UsageError("a stream (-) goes with none of --resume, --ray and --processes")
    if job.source == STANDARD and options.sign is not None:
        raise UsageError("a signature names the original's file: give the photo as a file, not as -")
    if job.target == STANDARD and sys.stdout.isatty():
        raise UsageError("a picture would fill the terminal: send it on with | or >, or name a file with -o")


def _open_manifest(path: Path | None, jobs: Sequence[Job], out: Location | None) -> Manifest:
    """The manifest of the output folder, which is swept of what a killed run left half written."""
    if out is None or any(job.target == out for job in jobs):
        raise UsageError("--resume and --ray need a folder for the results: name it with -o FOLDER")
    if path is None and not isinstance(out, Path):
        raise UsageError(f"name a file of this machine with --manifest FILE: {out} cannot hold one")
    manifest = Manifest(path or Path(out) / batch.MANIFEST, out)
    if isinstance(out, Path):
        sweep(out)
    return manifest
