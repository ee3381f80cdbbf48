"""`revisage degrade`: make degraded copies of clean photos, the same ones for the same seed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
from rich.console import Console
from rich.progress import track

from revisage.cli._parse import parse
from revisage.cli._say import say
from revisage.errors import ExistsError, RevisageError, UsageError, did_you_mean
from revisage.image import Photo, decode, format_of, output_paths, save
from revisage.image.formats import NAMES
from revisage.lab.degrade import RECIPES, Recipe, rng_for
from revisage.label import results
from revisage.options import Arg

# A degradation is exact: the file must not add another one.
LOSSLESS = frozenset({"PNG", "TIFF", "BMP"})


@dataclass(frozen=True)
class Job:
    """One photo to degrade; ``name`` (its path inside the source folder) and the seed decide what happens."""

    source: Path
    target: Path
    name: str


@dataclass(frozen=True)
class Options:
    """Make degraded copies of a photo, or of every photo in a folder and below."""

    src: Annotated[Path, Arg(metavar="SRC", positional=True)]
    """A photo or a folder. Never written to."""
    out: Annotated[Path, Arg(metavar="OUT", positional=True)]
    """A file, whose extension names the format, or a folder, where TIFF and BMP stay and others become PNG.
    A folder of photos needs a folder."""
    recipe: Annotated[str, Arg(metavar="NAME", help=f"How to degrade: {', '.join(RECIPES)}.")] = "old-photo"
    seed: int = 0
    """What happens to a photo depends on this number and on the photo's name only."""
    overwrite: bool = False
    """Also write over files that Revisage did not make. The photo itself is never written over."""


def main(argv: Sequence[str]) -> int:
    """Run the command; 0: every photo done, 1: some failed (each named on stderr), 2: bad usage."""
    options = parse(Options, "degrade", argv)
    if options.seed < 0:
        raise UsageError("--seed must be 0 or more")
    if options.recipe not in RECIPES:
        hint = did_you_mean(options.recipe, RECIPES) or f"; there are {', '.join(RECIPES)}"
        raise UsageError(f"no recipe {options.recipe!r}{hint}")
    jobs = plan(options.src, options.out)
    return run(jobs, RECIPES[options.recipe], options.seed, overwrite=options.overwrite)


def plan(source: Path, out: Path) -> list[Job]:
    """What to write where. Raises UsageError when nothing can be done, or an original would be lost."""
    if source.is_dir():
        if out.exists() and not out.is_dir():
            raise UsageError(f"{out} is a file: a folder of photos needs a folder to write to")
        if out.resolve() == source.resolve():
            raise UsageError(f"{out} holds the originals: choose another folder to write to")
        photos = sorted(path for path in source.rglob("*") if _is_photo(path, out))
        if not photos:
            raise UsageError(f"no photos in {source}: give a folder of {NAMES} files")
        targets = output_paths(photos, out, roots=[source] * len(photos), writable=LOSSLESS.__contains__)
        return [
            Job(photo, target, photo.relative_to(source).as_posix())
            for photo, target in zip(photos, targets, strict=True)
        ]
    if not source.is_file():
        raise UsageError(f"{source} does not exist: give a photo or a folder")
    if out.is_dir() or not out.suffix:
        return [Job(source, output_paths([source], out, writable=LOSSLESS.__contains__)[0], source.name)]
    if out.resolve() == source.resolve():
        raise UsageError(f"{out} is the original: choose another name to write to")
    return [Job(source, out, source.name)]


def _is_photo(path: Path, out: Path) -> bool:
    """A photo by its name, and not one that an earlier run has written into ``out``."""
    return format_of(path) is not None and path.is_file() and not path.resolve().is_relative_to(out.resolve())


def run(jobs: Sequence[Job], recipe: Recipe, seed: int, *, overwrite: bool = False) -> int:
    """Do the jobs one after another; a failure is told and counted, and never stops the rest."""
    console = Console(stderr=True)
    failed = 0
    for job in track(jobs, "Degrading", console=console, disable=not console.is_terminal, transient=True):
        try:
            degrade_file(job, recipe, seed, overwrite=overwrite)
        except (RevisageError, OSError, MemoryError) as error:
            failed += 1
            say(f"{job.source}: {str(error) or 'not enough memory'}", error=True)
    say(f"{len(jobs) - failed} degraded, {failed} failed", error=True)
    return 1 if failed else 0


def degrade_file(job: Job, recipe: Recipe, seed: int, *, overwrite: bool = False) -> None:
    """Decode, degrade at the photo's own bit depth, save. Raises RevisageError or OSError."""
    if not (overwrite or results.is_free(job.target)):
        raise ExistsError(results.refusal(job.target))
    photo = decode(job.source)
    params = recipe.sample(rng_for(seed, job.name))
    results.remember(save(degraded(photo, recipe, params), job.target, like=job.source).read_bytes())


def degraded(photo: Photo, recipe: Recipe, params: object) -> Photo:
    """``photo`` with its pixels degraded and all else kept; a gray one that got colour is gray no longer."""
    top = np.iinfo(photo.pixels.dtype).max
    clean = photo.pixels.astype(np.float32) / top
    low = recipe.apply(clean, params)
    pixels = np.rint(low * top).astype(photo.pixels.dtype)
    gray = photo.gray and _is_gray(pixels)
    return replace(photo, pixels=pixels, gray=gray, icc=photo.icc if gray == photo.gray else None)


def _is_gray(pixels: np.ndarray) -> bool:
    return bool((pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 1] == pixels[..., 2]).all())
