"""`revisage split`: the prints that lie on one scan, each straightened and in a file of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from revisage.cli._parse import parse
from revisage.cli._say import say
from revisage.errors import PhotoError, RevisageError, UsageError
from revisage.files import copy_date
from revisage.image import Photo, can_encode, decode, format_of, from_array, save
from revisage.image.prints import cut, find_prints, outlined
from revisage.label import results
from revisage.options import Arg


@dataclass(frozen=True)
class Options:
    """Find the prints that lie on scans, straighten each and write it as NAME-1.EXT, NAME-2.EXT and so on.

    They are counted row by row, from the upper left. Depth, colour profile and metadata stay; a print that
    lies straight is only cut out. What cannot be written in the scan's format becomes PNG.
    """

    scans: Annotated[tuple[Path, ...], Arg(metavar="SCAN", positional=True)]
    """Pictures of prints before a lid of one colour."""
    out: Annotated[Path, Arg(aliases=("-o",), metavar="DIR")]
    """The folder for the prints."""
    preview: bool = False
    """Write only NAME-preview.jpg: the scan with the outlines and numbers of what would be cut out."""
    overwrite: bool = False
    """Also write over files that Revisage did not make."""


def main(argv: Sequence[str]) -> int:
    """Run the command; 0: every scan done, 1: some failed (each named on stderr), 2: bad usage."""
    options = parse(Options, "split", argv)
    if not options.scans or options.out.is_file():
        raise UsageError("name scans, and a folder with -o")
    failed = 0
    for scan in options.scans:
        try:
            say(f"{scan}: {_split(scan, options)}")
        except (RevisageError, OSError, MemoryError) as error:
            failed += 1
            say(f"{scan}: {str(error) or 'not enough memory'}", error=True)
    return 1 if failed else 0


def _split(scan: Path, options: Options) -> str:
    """Write the prints of a scan; returns how many, in words. Raises RevisageError, OSError."""
    photo = decode(scan)
    prints = find_prints(photo.pixels)
    if not prints:
        raise PhotoError("no prints before a lid of one colour are found")
    if options.preview:
        files = {f"{scan.stem}-preview.jpg": from_array(outlined(photo.pixels, prints))}
    else:
        kept = format_of(scan) is not None and can_encode(photo.format)
        suffix = scan.suffix if kept else ".png"
        files = {f"{scan.stem}-{n}{suffix}": cut(photo, one) for n, one in enumerate(prints, 1)}
    _write(files, scan, options)
    return f"{len(prints)} print{'s' if len(prints) > 1 else ''}"


def _write(files: dict[str, Photo], scan: Path, options: Options) -> None:
    targets = {options.out / name: photo for name, photo in files.items()}
    for target in targets:
        if target.exists() and target.samefile(scan):
            raise UsageError(f"{target} is the scan and is never written to: choose another folder")
        results.check_free(target, overwrite=options.overwrite)
    for target, photo in targets.items():
        results.remember(save(photo, target, like=scan).read_bytes())
        copy_date(scan, target)
