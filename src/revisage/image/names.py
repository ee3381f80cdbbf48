"""Where results go: one name per photo, never an original's, never the same twice."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path

from revisage.image.encode import can_encode
from revisage.image.formats import format_of


def output_paths(
    inputs: Sequence[Path],
    folder: Path | None = None,
    *,
    roots: Sequence[Path] | None = None,
    writable: Callable[[str], bool] = can_encode,
) -> list[Path]:
    """Plan the output of every input; changes no file.

    Without `folder`, `NAME.restored.EXT` beside the photo. With it, the photo's path relative to its root
    (`roots[i]`; by default its own folder, which leaves the bare name) inside `folder`. The extension stays
    where its format is `writable`, else it is `.png`. Two names that would collide — also in another case or
    Unicode form, since many file systems do not tell these apart — are told apart by the old extension
    (`a.heic.png`), then by a number (`a-2.jpg`); photos that keep their extension choose first. No output is
    any of the inputs, nor the file that an input links to.
    """
    assert roots is None or len(roots) == len(inputs)
    taken = {_key(path) for path in inputs} | {_key(Path(os.path.realpath(path))) for path in inputs}
    suffixes = [_suffix(path, writable) for path in inputs]
    planned: dict[int, Path] = {}
    order = sorted(range(len(inputs)), key=lambda i: suffixes[i] != inputs[i].suffix)
    for index in order:
        source, suffix = inputs[index], suffixes[index]
        if folder is None:
            base = source.with_name(f"{source.stem}.restored")
        else:
            root = roots[index] if roots is not None else source.parent
            base = folder / source.relative_to(root).with_name(source.stem)
        path = _free(base, source, suffix, taken)
        taken.add(_key(path))
        planned[index] = path
    return [planned[index] for index in range(len(inputs))]


def _free(base: Path, source: Path, suffix: str, taken: set[str]) -> Path:
    candidates = [base.name + suffix]
    if suffix != source.suffix:
        candidates.append(base.name + source.suffix + suffix)
    elif not base.name.endswith(".restored"):
        candidates.append(f"{base.name}.restored{suffix}")  # the folder is the input's own
    number = 2
    while True:
        for name in candidates:
            path = base.with_name(name)
            if _key(path) not in taken:
                return path
        candidates = [f"{base.name}-{number}{suffix}"]
        number += 1


def _suffix(path: Path, writable: Callable[[str], bool]) -> str:
    format = format_of(path)
    return path.suffix if format is not None and writable(format) else ".png"


def _key(path: Path) -> str:
    # The folder without links: one folder may be named in two ways.
    name = os.path.join(os.path.realpath(path.parent), path.name)
    return unicodedata.normalize("NFC", name).casefold()
