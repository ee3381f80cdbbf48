"""XMP files beside photos (`photo.jpg.xmp` or `photo.xmp`): read as a part of them."""

import contextlib
from dataclasses import replace
from pathlib import Path

from revisage.image.photo import Photo
from revisage.image.xmp import clean_xmp, merge

_MOST_BYTES = 4 << 20


def find_sidecar(path: Path) -> Path | None:
    """The XMP file beside a photo; None where there is none. Raises OSError."""
    names = (f"{path.name}.xmp", f"{path.name}.XMP", f"{path.stem}.xmp", f"{path.stem}.XMP")
    beside = next((side for name in names if (side := path.with_name(name)).is_file()), path)
    return None if beside == path else beside


def with_sidecar(photo: Photo, path: Path) -> Photo:
    """The photo with what the XMP file beside it says, which counts before its own; `notes` tell bad ones."""
    beside = said = None
    with contextlib.suppress(OSError):
        beside = find_sidecar(path)
    if beside is None:
        return photo
    with contextlib.suppress(OSError):
        if beside.stat().st_size <= _MOST_BYTES:
            stored = photo.size if photo.orientation < 5 else photo.size[::-1]
            said = clean_xmp(beside.read_bytes(), orientation=photo.orientation, stored=stored)
    if said is None:
        return replace(photo, notes=(*photo.notes, f"{beside.name} beside it cannot be read"))
    return replace(photo, xmp=merge(photo.xmp or b"", said), sidecar=beside.name.removeprefix(path.stem))


def sidecar_path(target: Path, photo: Photo) -> Path | None:
    """Where the XMP file of a result goes, named as its photo's was; None where that has none."""
    if photo.sidecar is None:
        return None
    if photo.sidecar.lower() == ".xmp":
        return target.with_suffix(photo.sidecar)
    return target.with_name(target.name + photo.sidecar[-4:])
