"""Where results go: one name per photo, never an original's, never the same twice."""

import os
import unicodedata
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import chain, count
from pathlib import Path

from revisage.image.encode import can_encode
from revisage.image.formats import EXTENSION, HEAD_BYTES, format_of, sniff

RESULT = ".restored"  #: what is put behind the name of a photo whose result lies beside it
MASK = ".mask.png"  #: what is put behind the name of a result's file, where the mask of its repair lies
LONGEST = 255  #: bytes of the longest name that the usual file systems take


def output_paths(
    inputs: Sequence[Path],
    folder: Path | None = None,
    *,
    roots: Sequence[Path] | None = None,
    writable: Callable[[str], bool] = can_encode,
    format: str | None = None,
) -> list[Path]:
    """Plan the output of every input; changes no file.

    Without `folder`, `NAME.restored.EXT` beside the photo. With it, the photo's path relative to its root
    (`roots[i]`; by default its own folder, which leaves the bare name) inside `folder`. The extension stays
    where its format is `writable`, and `format` if given, else it is that of `format`, or of the file itself
    where its name has none that is known, or `.png`. A name too
    long for a file system is shortened before its ending.

    Two names that would collide — also in another case or
    Unicode form, since many file systems do not tell these apart — are told apart by the old extension
    (`a.heic.png`), then by a number (`a-2.jpg`); photos that keep their extension choose first. No output is
    any of the inputs, nor the file that an input links to.
    """
    assert roots is None or len(roots) == len(inputs)
    taken = {_key(path) for path in inputs} | {_key(Path(os.path.realpath(path))) for path in inputs}
    suffixes = [_suffix(path, writable, format) for path in inputs]
    planned: dict[int, Path] = {}
    order = sorted(range(len(inputs)), key=lambda i: suffixes[i] != inputs[i].suffix)
    for index in order:
        source, suffix = inputs[index], suffixes[index]
        if folder is None:
            parent, ending = source.parent, RESULT
        else:
            root = roots[index] if roots is not None else source.parent
            parent, ending = (folder / source.relative_to(root)).parent, ""
        path = _free(parent, ending, source, suffix, taken)
        taken.add(_key(path))
        planned[index] = path
    return [planned[index] for index in range(len(inputs))]


def _free(parent: Path, ending: str, source: Path, suffix: str, taken: set[str]) -> Path:
    endings = [ending + suffix]
    if suffix != source.suffix:
        endings.append(ending + source.suffix + suffix)
    elif _key(parent / source.name) == _key(source) and not (ending or source.stem.endswith(RESULT)):
        endings.append(RESULT + suffix)  # elsewhere it would be taken for the result of its namesake
    numbered = (f"{ending}-{number}{suffix}" for number in count(2))
    paths = (parent / shortened(source.stem, text) for text in chain(endings, numbered))
    return next(path for path in paths if _key(path) not in taken)


def shortened(stem: str, ending: str) -> str:
    """`stem` and `ending` as one name that file systems take, without the end of the stem where need be."""
    while len(stem) > 1 and len(os.fsencode(stem + ending)) > LONGEST:
        stem = stem[:-1]
    return stem + ending


def _suffix(path: Path, writable: Callable[[str], bool], format: str | None) -> str:
    own = format_of(path)
    if own is not None and writable(own) and format in (None, own):
        return path.suffix
    if own is None and format is None and path.is_file():  # its name tells nothing
        with suppress(OSError), path.open("rb") as file:
            told = sniff(file.read(HEAD_BYTES))
            format = told if told in EXTENSION and writable(told) else None
    return EXTENSION[format or "PNG"]


def _key(path: Path) -> str:
    # The folder without links: one folder may be named in two ways.
    name = os.path.join(os.path.realpath(path.parent), path.name)
    return unicodedata.normalize("NFC", name).casefold()
