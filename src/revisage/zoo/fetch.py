"""Downloads: checked before they are visible, resumed where they stopped, safe when two run at once."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from revisage.errors import ModelCorruptError, ModelError, ModelMissingError, UnknownModelError
from revisage.files import publish, sha256
from revisage.zoo import store
from revisage.zoo.catalogue import CATALOGUE
from revisage.zoo.spec import Model, ModelSpec

if TYPE_CHECKING:
    import requests

Progress = Callable[[int, int], None]  #: called with the bytes here so far and the bytes in all
TIMEOUT = 30.0  # seconds without a byte
ATTEMPTS = 3
_CHUNK = 1 << 16
_WORTH_RETRYING = frozenset({408, 425, 429})  # and every 5xx


def pull(name: str, *, progress: Progress | None = None) -> Path:
    """The weights of a catalogue model, downloaded into the user's model folder unless they are here. Of a
    model that is published as a checkpoint this is the checkpoint, unless the model made from it is here.

    Raises UnknownModelError, ModelMissingError (the download failed, or an embedded model is missing from the
    installation), ModelCorruptError (the server gave another file than the catalogue's sha256 says).
    """
    if name not in CATALOGUE:
        raise UnknownModelError(f"the catalogue has no {name!r}; it has {', '.join(CATALOGUE)}")
    spec = CATALOGUE[name]
    path = store.find(spec)
    with contextlib.suppress(ModelError):
        if path is not None and store.intact(Model(spec, path)):
            return path
    path = store.find_checkpoint(spec)
    if path is not None:
        return path
    if spec.url is None:
        raise ModelMissingError(store.how_to_get(spec))
    return fetch(spec, store.user_folder(), progress=progress)


def fetch(
    spec: ModelSpec,
    folder: Path,
    *,
    progress: Progress | None = None,
    attempts: int = ATTEMPTS,
    pause: float = 1.0,
) -> Path:
    """Download `spec.url` to `folder / spec.download`, in `attempts` with `pause` seconds before the second
    one, doubled before each further one.

    The bytes gather in a hidden subfolder, where a later call resumes them (HTTP Range); the file moves to
    its name only after its sha256 is right. A second call for the same file, in any process, waits for the
    first.

    Raises ModelMissingError (no connection, the server refuses, or the folder cannot be written to),
    ModelCorruptError (the file is complete and has another sha256; nothing is kept).
    """
    import filelock
    import requests

    assert spec.sha256 is not None
    assert spec.bytes is not None
    target = folder / spec.download
    part = folder / store.PARTIAL / f"{spec.sha256[:16]}.part"
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(part.with_suffix(".lock")):
            if target.is_file() and sha256(target) == spec.sha256:
                return target
            resumed = True
            while resumed:  # what an earlier call left may be of another file: then once more from the start
                resumed = part.exists() and part.stat().st_size <= spec.bytes
                if not resumed:
                    part.unlink(missing_ok=True)
                _download(spec, part, progress, attempts, pause)
                length, actual = part.stat().st_size, sha256(part)
                if actual == spec.sha256:
                    publish(part, target)
                    return target
                part.unlink()
    except requests.exceptions.RequestException as error:
        raise ModelMissingError(
            f"cannot download {spec.download} from {spec.url} ({_reason(error)}); to install it without a "
            f"network, put the file into {folder}"
        ) from None
    except OSError as error:
        raise ModelMissingError(f"cannot write to {folder}: {error.strerror or error}") from None
    wrong = f"more than the {spec.bytes} bytes" if length > spec.bytes else f"a file with sha256 {actual}"
    raise ModelCorruptError(f"{spec.url} gave {wrong} instead of {spec.sha256}; nothing was installed")


def _download(spec: ModelSpec, part: Path, progress: Progress | None, attempts: int, pause: float) -> None:
    """Bring `part` to the length the server gives, going on from the bytes it has."""
    import requests

    for attempt in range(attempts):
        if attempt:
            time.sleep(pause * 2 ** (attempt - 1))
        try:
            with part.open("ab") as stream:
                if stream.tell() != spec.bytes:
                    _request(spec, stream, progress)
            return
        except requests.exceptions.RequestException as error:
            status = error.response.status_code if error.response is not None else None
            if status == 416:  # nothing lies beyond `part`, which is then of another file
                part.unlink()
            elif status is not None and status < 500 and status not in _WORTH_RETRYING:
                raise
            if attempt == attempts - 1:
                raise


def _request(spec: ModelSpec, stream: BinaryIO, progress: Progress | None) -> None:
    """Append what the file lacks, or all of it where the server does not go on from there."""
    import requests

    assert spec.url is not None
    assert spec.bytes is not None
    here = stream.seek(0, 2)
    headers = {"Accept-Encoding": "identity"}  # lengths and ranges then count the file's own bytes
    if here:
        headers["Range"] = f"bytes={here}-"
    with requests.get(spec.url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        response.raise_for_status()
        continued = response.headers.get("Content-Range", "").startswith(f"bytes {here}-")
        if here and not (response.status_code == 206 and continued):
            here = stream.truncate(0)
            if response.status_code == 206:  # not the range asked for: the next try asks for none
                raise requests.exceptions.ChunkedEncodingError
        for chunk in response.iter_content(_CHUNK):
            here += stream.write(chunk)
            if here > spec.bytes:
                return
            if progress is not None:
                progress(here, spec.bytes)


def _reason(error: requests.exceptions.RequestException) -> str:
    if error.response is not None:
        return f"HTTP {error.response.status_code}"
    import requests

    if isinstance(error, requests.exceptions.Timeout):
        return "the server does not answer"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection was cut"
    return "no connection"
