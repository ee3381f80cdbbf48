"""`revisage degrade`: make degraded copies of clean photos, the same ones for the same seed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
from annotated_types import Interval

from revisage.batch import plan_photos
from revisage.batch.photo import reason_of
from revisage.cli._bar import tracked
from revisage.cli._parse import parse
from revisage.cli._say import say
from revisage.errors import RevisageError, SaveError, UsageError, did_you_mean
from revisage.image import Photo, decode, format_of, left_out, save
from revisage.image.formats import LOSSLESS, NAMES, format_for
from revisage.lab.degrade import RECIPES, Recipe, rng_for
from revisage.label import results
from revisage.options import Arg
from revisage.restore.colour import is_neutral


@dataclass(frozen=True)
class Options:
    """Make degraded copies of a photo, or of every photo in a folder and below."""

    src: Annotated[Path, Arg(metavar="SRC", positional=True)]
    """A photo or a folder. Never written to."""
    out: Annotated[Path, Arg(metavar="OUT", positional=True)]
    """A file, whose extension names the format, or a folder, where TIFF and BMP stay and others become PNG.
    A folder of photos needs a folder."""
    recipe: Annotated[str, Arg(metavar="NAME", help=f"How to degrade: {', '.join(RECIPES)}.")] = "old-photo"
    seed: Annotated[int, Interval(ge=0)] = 0
    """What happens to a photo depends on this number and on the photo's name only."""
    overwrite: bool = False
    """Also write over files that Revisage did not make. The photo itself is never written over."""


def main(argv: Sequence[str]) -> int:
    """Run the command; 0: every photo done, 1: some failed (each named on stderr), 2: bad usage."""
    options = parse(Options, "degrade", argv)
    if options.recipe not in RECIPES:
        hint = did_you_mean(options.recipe, RECIPES) or f"; there are {', '.join(RECIPES)}"
        raise UsageError(f"no recipe {options.recipe!r}{hint}")
    # A degradation is exact: the file must not add another one.
    jobs = plan_photos([options.src], options.out, LOSSLESS.__contains__)
    if options.src.is_dir():
        jobs = [job for job in jobs if format_of(Path(job.source)) is not None]
        if not jobs:
            raise UsageError(f"no photos in {options.src}: give a folder of {NAMES} files")
    failed = 0
    for job in tracked(jobs, "Degrading"):
        try:
            degrade_file(Path(job.source), Path(job.target), options)
        except (RevisageError, OSError, MemoryError) as error:
            failed += 1
            say(f"{job.source}: {str(error) or 'not enough memory'}", error=True)
            if reason_of(error) == "disk-full":
                raise SaveError("the disk is full: make room and run it again") from None
    say(f"{len(jobs) - failed} degraded, {failed} failed", error=True)
    return 1 if failed else 0


def degrade_file(source: Path, target: Path, options: Options) -> None:
    """Decode, degrade at the photo's own bit depth, save, and tell what is left out. Raises RevisageError or
    OSError."""
    results.check_free(target, source, overwrite=options.overwrite)
    photo, recipe = decode(source), RECIPES[options.recipe]
    # The seed and the photo's name, its path inside the source folder, decide what happens.
    name = source.relative_to(options.src).as_posix() if options.src.is_dir() else source.name
    low = degraded(photo, recipe, recipe.sample(rng_for(options.seed, name)))
    results.remember(save(low, target, like=source).read_bytes(), source)
    pages = (f"{photo.pages - 1} of its {photo.pages} pages are left out",) if photo.pages > 1 else ()
    for note in (*photo.notes, *pages, *left_out(low, format_for(target))):
        say(f"{source}: {note}", error=True)


def degraded(photo: Photo, recipe: Recipe, params: object) -> Photo:
    """``photo`` with its pixels degraded and all else kept; a gray one that got colour is gray no longer."""
    top = np.iinfo(photo.pixels.dtype).max
    low = recipe.apply(photo.pixels.astype(np.float32) / top, params)
    pixels = np.rint(low * top).astype(photo.pixels.dtype)
    gray = photo.gray and is_neutral(pixels)
    return replace(photo, pixels=pixels, gray=gray, icc=photo.icc if gray == photo.gray else None)
