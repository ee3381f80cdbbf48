"""`revisage split`: the prints that lie on one scan, each straightened and in a file of its own."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated

from revisage.batch.photo import reason_of
from revisage.cli._interrupt import interruptible
from revisage.cli._parse import parse
from revisage.cli._say import say
from revisage.errors import PhotoError, RevisageError, SaveError, UsageError
from revisage.files import copy_date
from revisage.image import Photo, can_encode, decode, format_of, from_array, save
from revisage.image.prints import cut, find_prints, left_over, outlined
from revisage.label import results
from revisage.options import Arg, DecodeLimits

LOOK = "look with --preview, and lay prints apart"


@dataclass(frozen=True)
class Options:
    """Find the prints that lie on scans, straighten each and write it as NAME-1.EXT, NAME-2.EXT and so on.

    They are counted row by row, from the upper left, and through all pages. Depth, colour profile and
    metadata stay, the place with --keep-gps; a print that lies straight is only cut out. What cannot be
    written in the scan's format becomes PNG.
    """

    scans: Annotated[tuple[Path, ...], Arg(metavar="SCAN", positional=True)]
    """Pictures of prints before a lid of one colour."""
    out: Annotated[Path, Arg(aliases=("-o",), metavar="DIR")]
    """The folder for the prints."""
    preview: bool = False
    """Write only NAME-preview.jpg, of several pages NAME-preview-1.jpg and so on: the scan with the outlines
    and numbers of what would be cut out. Give it a folder of its own, lest it be restored with the prints."""
    keep_gps: bool = False
    """Keep the place where a scan says that it was taken; it is dropped otherwise."""
    overwrite: bool = False
    """Also write over files that Revisage did not make. A scan is never written over."""
    damaged: bool = False
    """Of a damaged file, such as one that ends early, take what is there."""
    limits: DecodeLimits = field(default_factory=DecodeLimits)


def main(argv: Sequence[str]) -> int:
    """Run the command; 0: every scan done, 1: some failed (each named on stderr), 2: bad usage. Raises
    KeyboardInterrupt with the exit code after Ctrl-C and other signals to end, once a scan is done."""
    options = parse(Options, "split", argv)
    if options.out.is_file() or any(scan.is_dir() for scan in options.scans):
        raise UsageError("name scans, not a folder of them, and a folder for the prints with -o")
    scans = list({scan.resolve(): scan for scan in options.scans}.values())
    names = Counter(scan.stem.casefold() for scan in scans)
    if twice := next((scan for scan in scans if names[scan.stem.casefold()] > 1), None):
        raise UsageError(f"several scans are called {twice.stem}: give each a folder of its own")
    failed, left = 0, scans
    with interruptible(hand="scan in hand") as stop:
        while left and not stop.is_set():
            scan = left.pop(0)
            try:
                say(f"{scan}: {_split(scan, options)}")
            except (RevisageError, OSError, MemoryError) as error:
                failed += 1
                say(f"{scan}: {str(error) or 'not enough memory'}", error=True)
                if reason_of(error) == "disk-full":
                    raise SaveError("the disk is full: make room and run it again") from None
    if left:
        say(f"interrupted before {left[0]}", error=True)
        raise KeyboardInterrupt(128 + stop.number)
    return 1 if failed else 0


def _split(scan: Path, options: Options) -> str:
    """Write the prints of a scan; returns how many, in words. Raises RevisageError, OSError."""
    read = partial(decode, scan, limits=options.limits, damaged=options.damaged)
    first, count, empty = read(), 0, list[str]()
    for note in first.notes:
        say(f"{scan}: {note}", error=True)
    for number in range(first.pages):
        photo = read(page=number) if number else first
        prints = find_prints(photo.pixels)
        if options.preview:
            page = f"-{number + 1}" if first.pages > 1 else ""
            files = {f"{scan.stem}-preview{page}.jpg": from_array(outlined(photo.pixels, prints, count))}
        else:
            kept = format_of(scan) is not None and can_encode(photo.format)
            suffix = scan.suffix if kept else ".png"
            files = {f"{scan.stem}-{count + n}{suffix}": cut(photo, one) for n, one in enumerate(prints, 1)}
        if prints:
            if left_over(photo.pixels, prints):
                say(f"{scan}: something else lies on it that is no print by itself: {LOOK}", error=True)
            _write(files, scan, options)
        else:
            empty.append(str(number + 1))
        count += len(prints)
    if not count:
        raise PhotoError("no prints are found: leave some of a lid of one colour around each, and scan again")
    none = f", none on page {', '.join(empty)}" if empty else ""
    return f"{count} print{'s' if count > 1 else ''}{none}"


def _write(files: dict[str, Photo], scan: Path, options: Options) -> None:
    targets = {options.out / name: photo for name, photo in files.items()}
    for target in targets:
        if target.exists() and any(target.samefile(one) for one in options.scans if one.exists()):
            raise UsageError(f"{target} is a scan and is never written to: choose another folder")
        results.check_free(target, scan, overwrite=options.overwrite)
    for target, photo in targets.items():
        results.remember(save(photo, target, keep_gps=options.keep_gps, like=scan).read_bytes(), scan)
        copy_date(scan, target)
