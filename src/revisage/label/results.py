"""Which files are results of Revisage: by their label, or by their SHA-256.

A result has no label where no model changed the photo, with `--no-label`, and as BMP. The digests of results
are kept in a file of the user's cache, and of them together with their photos: nothing in it tells of a photo
or its name. Where that file is erased, or on another machine, a result
without a label is taken for somebody else's, which costs a question, and one with a label goes by that alone.
"""

import contextlib
import hashlib
import os
import stat
from pathlib import Path

import platformdirs

from revisage import label
from revisage.errors import ExistsError
from revisage.files import sha256
from revisage.label.xmp import UNSEALED

_RECORD = hashlib.sha256().digest_size

OTHERS = "is there already, and nothing tells that Revisage made it"
CHANGED = "is there already, a result that was changed since it was made"
ANOTHER = "is there already, the result of another photo"


def results_file() -> Path:
    """Where this account's digests of results are kept, one after the other."""
    return Path(platformdirs.user_cache_dir("revisage", appauthor=False)) / "results.sha256"


def remember(data: bytes, source: object = None) -> None:
    """Know the bytes of a result again, and its photo (a path or URL), if the cache can be written."""
    plain, *of = _digests(data, source)
    path = results_file()
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab", buffering=0) as file:  # one short write at the end, whoever else writes
            torn = bytes(-file.tell() % _RECORD)  # of a write that a full disk has cut
            file.write(torn + (b"".join(of) or plain))


def objection(data: bytes, source: object = None, *, sure: bool = False) -> str | None:
    """Why a result of `source` may not go where these bytes are; None where it may. To be `sure`, a label
    counts only where it tells that the file is as it was written."""
    plain, *of = _remembered(_digests(data, source or "?"))
    if not (plain or of[0]):
        found = label.read(data)
        if found is None or found.tool.partition(" ")[0] != "revisage":
            return OTHERS
        return CHANGED if label.is_changed(data, found) or (sure and found.digest == UNSEALED) else None
    return ANOTHER if source and of[0] and not any(of[1:]) else None


def objection_at(path: Path, source: object = None, *, sure: bool = False) -> str | None:
    """`objection` for a path; None where nothing is there. What cannot be read may be anybody's."""
    try:
        if not os.path.lexists(path):
            return None
        is_file = stat.S_ISREG(path.stat().st_mode)
        return objection(path.read_bytes(), source, sure=sure) if is_file else OTHERS
    except OSError:
        return OTHERS


def check_free(path: Path, source: Path | None = None, *, overwrite: bool, how: str = "--overwrite") -> None:
    """Raises ExistsError where a result of `source` may not go to a path, unless told to write over what is
    there; `how` is what tells it."""
    if not overwrite and (told := objection_at(path, source)) is not None:
        raise ExistsError(f"{path} {told}: choose another name, or give {how}")


def _digests(data: bytes, source: object) -> list[bytes]:
    """Of a result's bytes; and if its photo is known, of them as one of which it is, with its place, and with
    its bytes, since photos are moved and edited."""
    plain, known = hashlib.sha256(data).digest(), ["", str(source)] if source else []
    if isinstance(source, Path):
        known[1] = os.path.realpath(source)
        with contextlib.suppress(OSError):
            known += [sha256(source)] if source.is_file() else []
    return [plain, *(hashlib.sha256(plain + os.fsencode(one)).digest() for one in known)]


def _remembered(digests: list[bytes]) -> list[bool]:
    known = b""
    with contextlib.suppress(OSError):
        known = results_file().read_bytes()

    def is_there(digest: bytes) -> bool:
        at = known.find(digest)
        while at >= 0 and at % _RECORD:
            at = known.find(digest, at + 1)
        return at >= 0

    return [is_there(digest) for digest in digests]
