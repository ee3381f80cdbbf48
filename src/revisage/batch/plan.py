"""Which photos a command means and where each result goes."""

import glob
import os
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePath, PurePosixPath

from revisage.batch import storage
from revisage.batch.jobs import Job, Location
from revisage.errors import UsageError
from revisage.files import absent
from revisage.image import can_encode, format_of, output_paths
from revisage.image.names import LONGEST, MASK, RESULT, shortened

# What lies beside photos in people's folders and is none. Anything else is tried, and told if it is no photo:
# a list of what to try would leave out, silently, the photo with an unusual name.
FILMS = frozenset({".3gp", ".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm"})
COMPANIONS = FILMS | {
    ".aae", ".csv", ".db", ".doc", ".docx", ".htm", ".html", ".ini", ".json", ".lnk", ".m4a", ".md", ".mp3",
    ".odt", ".onnx", ".part", ".pdf", ".py", ".srt", ".sqlite", ".thm", ".tmp", ".toml", ".txt", ".wav",
    ".xls", ".xlsx", ".xml", ".xmp", ".yaml", ".yml", ".zip",
}  # fmt: skip

HOLDERS = {
    ("film", "restore each with --video FILM"): FILMS,
    ("PDF", "take its pictures out first"): frozenset({".pdf"}),
}
"""Companions that hold pictures, by what they are and what can be done with them."""

# As `output_paths` makes them.
_RESULT_STEM = re.compile(rf"(?P<stem>.+){re.escape(RESULT)}(-\d+)?(\.\w+)?", re.DOTALL)

Writable = Callable[[str], bool]  #: whether results may have a format
Tell = Callable[[str], object]  #: takes a line about files that are passed over


def plan_photos(
    inputs: Sequence[Path],
    out: Path | None,
    writable: Writable = can_encode,
    format: str | None = None,
    *,
    tell: Tell = str,
    as_folder: bool = False,
) -> list[Job]:
    """The photos below `inputs` (files, and folders with all that is in them) and where each result goes.

    A named file is always tried; one that does not exist fails like any other, unless none exists. In a
    folder, hidden files and files that usually lie beside photos (`COMPANIONS`) are left out, and so is `out`
    when it lies inside. `NAME.restored.EXT` and `NAME.EXT.mask.png` are left out, and written anew, where
    NAME is there as well: `restore *` twice must not restore the results of the first time. `tell` gets a
    line about these, and about films and documents. A photo of a format that is not `writable` becomes a PNG,
    and with `format` every photo one of that, where `out` does not name the file; `as_folder` it never does.
    Without `out` a photo's result goes beside it, those of a folder into `results_folder`.

    Raises UsageError when no input exists, nor the second of two without `out`, a folder has no photo, or
    `out` is of the wrong kind or not to be written to.
    """
    if not inputs:
        raise UsageError("name at least one photo or folder")
    if out is None and len(inputs) == 2 and inputs[0].exists() and not inputs[1].exists():
        raise UsageError(f"{inputs[1]} does not exist; if the result is to go there: -o {inputs[1]}")
    folders = [path for path in inputs if path.is_dir()]
    if out is None and folders:
        files = [path for path in inputs if not path.is_dir()]
        jobs = plan_photos(files, None, writable, format, tell=tell) if files else []
        seen = {Path(job.source).resolve() for job in jobs}
        for folder in folders:
            more = plan_photos([folder], results_folder(folder), writable, format, tell=tell)
            new = set(_unseen([Path(job.source) for job in more], seen))
            jobs += [job for job in more if job.source in new]
        return jobs
    found = _found(inputs, out, tell)
    photos, roots = [photo for photo, _ in found], [root for _, root in found]
    if not any(photo.exists() for photo in photos):
        raise absent(photos[0])
    if out is None:
        targets = output_paths(photos, writable=writable, format=format)
    elif len(photos) == 1 and not (folders or as_folder or out.is_dir()) and out.suffix:
        _check_name(out, format)
        if out.resolve() == photos[0].resolve():
            raise UsageError(f"{out} is the original and is never written to: choose another name")
        targets = [out]
    else:
        if out.exists() and not out.is_dir():
            raise UsageError(f"{out} is a file: several photos need a folder")
        if not (as_folder or out.exists()) and format_of(out) is not None:
            raise UsageError(f"{out} is the name of one photo: several photos need a folder")
        targets = output_paths(photos, out, roots=roots, writable=writable, format=format)
    _require_writable({target.parent for target in targets}, out)
    return [Job(*pair) for pair in zip(photos, targets, strict=True)]


def _found(inputs: Sequence[Path], out: Path | None, tell: Tell) -> list[tuple[Path, Path]]:
    """The photos, each with the folder that its result's path is relative to."""
    found, seen = list[tuple[Path, Path]](), set[Path]()
    for path in inputs:
        root = path if path.is_dir() else path.parent
        below = _below(path, out, tell) if path.is_dir() else [path]
        found += [(photo, root) for photo in (_unseen(below, seen) if len(inputs) > 1 else below)]
    passed = _results([photo for photo, _ in found], tell)
    return [pair for pair in found if pair[0] not in passed]


def _unseen(photos: Sequence[Path], seen: set[Path]) -> list[Path]:
    """Those that are not `seen` by another spelling of their place already, and now are; links all stay."""
    files = [photo.parent.resolve() / photo.name for photo in photos]
    new = [photo for photo, file in zip(photos, files, strict=True) if file not in seen]
    seen.update(files)
    return new


def _results(photos: Sequence[Path], tell: Tell, shown: Callable[[Path], object] = str) -> frozenset[Path]:
    """Those that are results of others, of which a line is told, with the first as it is `shown`."""
    names = {photo.with_suffix("") for photo in photos}
    results = [photo for photo in photos if _is_result(photo, names)]
    if results:
        more = f" and {len(results) - 1:,} more" if len(results) > 1 else ""
        tell(f"passed over as results of photos here, by name: {shown(results[0])}{more}")
    return frozenset(results)


def results_folder(folder: Path) -> Path:
    """Where the results of a folder go if nobody says where: NAME.restored beside it."""
    whole = folder.resolve()
    return folder.parent / f"{whole.name}{RESULT}" if folder.name else whole.with_name(whole.name + RESULT)


def locations(arguments: Iterable[str]) -> list[Location]:
    """What the arguments of a command mean; a pattern that no shell has expanded stands for its files. Raises
    UsageError where a pattern has none."""
    places: list[Location] = []
    for argument in arguments:
        place = storage.location(argument)
        if isinstance(place, Path) and glob.has_magic(argument) and not place.exists():
            files = sorted(glob.glob(str(place)))
            if not files:
                raise UsageError(f"nothing matches {argument}")
            places += [Path(file) for file in files]
        else:
            places.append(place)
    return places


def plan_locations(
    inputs: Sequence[Location],
    out: Location | None,
    writable: Writable = can_encode,
    format: str | None = None,
    *,
    tell: Tell = str,
    as_folder: bool = False,
) -> list[Job]:
    """`plan`, where a folder of photos, or `out`, may also be a URL for fsspec, and one photo and its result
    may be streams ("-" is standard input, and output). With a URL there is one folder of photos, `out` is a
    folder, and the two do not lie in one another."""
    if storage.STANDARD in inputs or (out is not None and storage.is_stream(out)):
        return [_plan_stream(inputs, out, format)]
    paths = [path for path in inputs if isinstance(path, Path)]
    if len(paths) == len(inputs) and not isinstance(out, str):
        return plan_photos(paths, out, writable, format, tell=tell, as_folder=as_folder)
    if len(inputs) != 1 or out is None:
        raise UsageError("with a URL, give one folder of photos, and where the results go with -o OUT")
    [source] = inputs
    inner, outer = (f"{place}".rstrip("/") + "/" for place in (source, out))
    if inner.startswith(outer) or outer.startswith(inner):
        raise UsageError(f"{out} and {source} lie in one another: choose another place for -o")
    if isinstance(source, Path):
        if not source.is_dir():
            raise UsageError(f"{source} is no folder: with a URL for -o, give one folder of photos")
        names = [path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()]
    else:
        names = storage.below(source)
    # Names are chosen as for folders; these two are never looked at.
    root, there = Path("/in"), Path("/out")
    found = [root / name for name in sorted(names) if is_named_like_a_photo(PurePosixPath(name))]
    _tell_passed(source, [PurePosixPath(name) for name in names], found, tell)

    def join(folder: Location, path: Path, base: Path) -> Location:
        name = path.relative_to(base)
        return folder / name if isinstance(folder, Path) else f"{folder.rstrip('/')}/{name.as_posix()}"

    passed = _results(found, tell, lambda photo: join(source, photo, root))
    found = [photo for photo in found if photo not in passed]
    targets = output_paths(found, there, roots=[root] * len(found), writable=writable, format=format)
    pairs = zip(found, targets, strict=True)
    return [Job(join(source, photo, root), join(out, target, there)) for photo, target in pairs]


def _require_writable(folders: set[Path], out: Path | None) -> None:
    """Tell now what would else be told for every photo after its work is done."""
    refusals: dict[Path, str] = {}
    # Of each the nearest above it that is there.
    above = {next(path for path in (one, *one.absolute().parents) if path.exists()) for one in folders}
    for folder in above:
        try:
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            refusals[folder] = error.strerror or str(error)
    if refusals and (out is not None or len(refusals) == len(above)):
        folder, reason = min(refusals.items())
        raise UsageError(f"nothing can be written to {folder} ({reason}): choose another place with -o")


def _is_result(photo: Path, names: set[Path]) -> bool:
    """Whether `photo` is the result of another one, or the mask beside one, given the names of all without
    their extensions."""
    stem = Path(photo.name.removesuffix(MASK)).stem
    own = _RESULT_STEM.fullmatch(stem)
    name = photo.parent / (own["stem"] if own else stem)
    if photo.name.endswith(MASK):
        return name in names or photo.parent / stem in names
    if not own or name in names:
        return own is not None
    beside = (other.name for other in names if other.parent == photo.parent)
    ending = RESULT + photo.suffix  # perhaps of a name that had to be shortened
    is_long = len(os.fsencode(photo.name)) >= LONGEST - 4
    return is_long and any(shortened(other, ending) == photo.name for other in beside)


def _check_name(out: Path, format: str | None) -> None:
    """Raises UsageError for the name of a file whose extension is no format, or another than `format`."""
    named = format_of(out)
    if named is None or not can_encode(named):
        raise UsageError(f"{out}: {out.suffix} cannot be written; use .jpg, .png, .webp or .tif")
    if format not in (None, named):
        raise UsageError(f"{out} is no name for the format {format}: leave out --format, or change the name")


def _plan_stream(inputs: Sequence[Location], out: Location | None, format: str | None) -> Job:
    """One photo from standard input, or to a stream. Raises UsageError."""
    if len(inputs) != 1:
        raise UsageError("standard input and output (-) take one photo: name nothing else")
    [source] = inputs
    if isinstance(source, Path):
        if source.is_dir():
            raise UsageError(f"{source} is a folder, and a stream takes one photo: name a folder with -o")
        if not source.exists():
            raise absent(source)
    if out is None or storage.is_stream(out):
        return Job(source, storage.STANDARD if out is None else out)
    if not isinstance(out, Path) or out.is_dir() or not out.suffix:
        raise UsageError(f"{out}: a photo from standard input has no name; name its result, such as out.jpg")
    _check_name(out, format)
    _require_writable({out.parent}, out)
    return Job(source, out)


def _below(folder: Path, out: Path | None, tell: Tell) -> list[Path]:
    assert out is not None
    if out.resolve() == folder.resolve():
        raise UsageError(f"{out} holds the originals: choose another folder for the results")
    if out.is_file():
        raise UsageError(f"{out} is a file: several photos need a folder")
    unreadable: list[Path] = []  # folders: each fails by its name, as a photo does
    walk = os.walk(folder, onerror=lambda error: unreadable.append(Path(error.filename)))
    files = [Path(where, name) for where, _, names in walk for name in names]
    found = sorted(path for path in files if _is_candidate(path, folder, out)) + unreadable
    _tell_passed(folder, files, found, tell)
    return found


def _tell_passed(folder: Location, files: Iterable[PurePath], found: Sequence[Path], tell: Tell) -> None:
    """Tell of `HOLDERS` among the files. Raises UsageError where no photo was found."""
    passed = holders(files)
    if not found:
        raise UsageError(f"no photos in {folder}{passed and f': {passed}'}")
    if passed:
        tell(f"passed over in {folder}: {passed}")


def holders(files: Iterable[PurePath]) -> str:
    """What to say of the `HOLDERS` of pictures among files, in words; nothing where there is none."""
    count = Counter(file.suffix.lower() for file in files if not file.name.startswith("."))
    some = {kind: sum(count[suffix] for suffix in suffixes) for kind, suffixes in HOLDERS.items()}
    return ", ".join(f"{n:,} {name}{'s' * (n > 1)} ({how})" for (name, how), n in some.items() if n)


def _is_candidate(path: Path, root: Path, out: Path) -> bool:
    broken = path.is_symlink() and not path.exists()  # told like a photo that is not there
    if not is_named_like_a_photo(path.relative_to(root)) or not (broken or path.is_file()):
        return False
    above = path.relative_to(root).parents
    if any(part.name.endswith(RESULT) and (root / str(part).removesuffix(RESULT)).is_dir() for part in above):
        return False  # of an earlier run
    place = out.resolve()  # where it lies in the folder, earlier results do so as well
    return not (place.is_relative_to(root.resolve()) and path.resolve().is_relative_to(place))


def is_named_like_a_photo(name: PurePath, but: frozenset[str] = frozenset()) -> bool:
    """Whether a file's path below the folder says that it should be tried; of `COMPANIONS` only `but` is."""
    passed = name.suffix.lower() in COMPANIONS - but
    return not passed and not any(part.startswith(".") for part in name.parts)
