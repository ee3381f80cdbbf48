"""Which files are results of Revisage: by their label, or, of those without one, by their SHA-256.

A result has no label where no model changed the photo, with `--no-label`, and as BMP. Of these the digests
are kept in a file of the user's cache: nothing in them tells of the photo or its name. Where that file is
erased, or on another machine, such a result is taken for somebody else's, which costs a question, no photo.
"""

import contextlib
import hashlib
import os
import stat
from pathlib import Path

import platformdirs

from revisage import label
from revisage.errors import ExistsError

_RECORD = hashlib.sha256().digest_size


def results_file() -> Path:
    """Where this account's digests of results without a label are kept, one after the other."""
    return Path(platformdirs.user_cache_dir("revisage", appauthor=False)) / "results.sha256"


def remember(data: bytes) -> None:
    """Know the bytes of a result again, if the cache can be written."""
    if _is_labelled(data):
        return
    path = results_file()
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab", buffering=0) as file:  # one short write at the end, whoever else writes
            file.write(hashlib.sha256(data).digest())


def is_result(data: bytes) -> bool:
    """Whether the bytes are those of a result, as far as is known."""
    return _is_labelled(data) or _is_remembered(hashlib.sha256(data).digest())


def is_free(path: Path) -> bool:
    """Whether a result may go to a path: nothing is there, or a picture that Revisage made.

    What cannot be read may be anybody's.
    """
    try:
        if not os.path.lexists(path):
            return True
        return stat.S_ISREG(path.stat().st_mode) and is_result(path.read_bytes())
    except OSError:
        return False


def refusal(path: object) -> str:
    """What is told of a path that is not free."""
    told = f"{path} is there already, and nothing tells that Revisage made it"
    return f"{told}: choose another name, or give --overwrite"


def check_free(path: Path, *, overwrite: bool) -> None:
    """Raises ExistsError where a result may not go to a path, unless told to write over what is there."""
    if not (overwrite or is_free(path)):
        raise ExistsError(refusal(path))


def _is_remembered(digest: bytes) -> bool:
    try:
        known = results_file().read_bytes()
    except OSError:
        return False
    at = known.find(digest)
    while at >= 0 and at % _RECORD:
        at = known.find(digest, at + 1)
    return at >= 0


def _is_labelled(data: bytes) -> bool:
    found = label.read(data)
    return found is not None and found.tool.partition(" ")[0] == "revisage"
