"""Downloads: checked before they are visible, resumed where they stopped, safe when two run at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from revisage.errors import ModelCorruptError, ModelError, ModelMissingError, UnknownModelError
from revisage.files import publish, sha256
from revisage.zoo import store
from revisage.zoo.catalogue import CATALOGUE
from revisage.zoo.spec import Model, ModelSpec

if TYPE_CHECKING:
    import requests

Progress = Callable[[int, int | None], None]
"""Called with the bytes here so far and the bytes in all (None when the server does not say)."""

TIMEOUT = 30.0  # seconds without a byte
ATTEMPTS = 3
_CHUNK = 1 << 16
_WORTH_RETRYING = frozenset({408, 425, 429})  # and every 5xx


def pull(name: str, *, progress: Progress | None = None) -> Path:
    """The weights of a catalogue model, downloaded into the user's model folder unless they are here.

    Of a model that is published as a checkpoint this is the checkpoint, unless the model made from it is
    here: `revisage.restore.published` makes it.

    Raises:
        UnknownModelError: the catalogue has no such name.
        ModelMissingError: the download failed, or an embedded model is missing from the installation.
        ModelCorruptError: the server gave another file than the catalogue's sha256 says.
    """
    if name not in CATALOGUE:
        raise UnknownModelError(f"the catalogue has no {name!r}; it has {', '.join(CATALOGUE)}")
    spec = CATALOGUE[name]
    path = store.find(spec)
    if path is not None and _intact(Model(spec, path)):
        return path
    path = store.find_checkpoint(spec)
    if path is not None:
        return path
    if spec.url is None:
        raise ModelMissingError(store.how_to_get(spec))
    return fetch(spec, store.user_folder(), progress=progress)


def _intact(model: Model) -> bool:
    try:
        return store.intact(model)
    except ModelError:
        return False


def fetch(
    spec: ModelSpec,
    folder: Path,
    *,
    progress: Progress | None = None,
    attempts: int = ATTEMPTS,
    pause: float = 1.0,
) -> Path:
    """Download `spec.url` to `folder / spec.download`.

    The bytes gather in a hidden subfolder, where a later call finds and resumes them (HTTP Range); the
    file moves to its name only after its sha256 is right. A second call for the same file, in this or
    another process, waits for the first and takes its result.

    Args:
        attempts: how often to try before giving up on a server that fails or cuts off.
        pause: seconds before the second try; doubled before each further one.

    Raises:
        ModelMissingError: no connection, the server refuses, or the folder cannot be written to.
        ModelCorruptError: the file is complete and has another sha256. Nothing is kept.
    """
    import filelock
    import requests

    assert spec.url is not None
    assert spec.sha256 is not None
    target = folder / spec.download
    part = folder / store.PARTIAL / f"{spec.sha256[:16]}.part"
    download = partial(_download, spec, part, progress, attempts, pause)
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(part.with_suffix(".lock")):
            if target.is_file() and sha256(target) == spec.sha256:
                return target
            if part.exists() and not _is_part_of(spec, part):
                part.unlink()
            resumed = part.exists()
            wrong = _try(spec, part, target, download)
            if wrong is not None and resumed:
                # What an earlier call left may have been of another file: once more from the start.
                wrong = _try(spec, part, target, download)
    except requests.exceptions.RequestException as error:
        raise ModelMissingError(
            f"cannot download {spec.download} from {spec.url} ({_reason(error)}); to install it without a "
            f"network, put the file into {folder}"
        ) from None
    except OSError as error:
        raise ModelMissingError(f"cannot write to {folder}: {error.strerror or error}") from None
    if wrong is not None:
        raise ModelCorruptError(f"{spec.url} gave {wrong} instead of {spec.sha256}; nothing was installed")
    return target


def _is_part_of(spec: ModelSpec, part: Path) -> bool:
    return spec.bytes is None or part.stat().st_size <= spec.bytes


def _try(spec: ModelSpec, part: Path, target: Path, download: Callable[[], None]) -> str | None:
    """Download and publish: None when the file is in place, or what came instead of it, `part` removed."""
    try:
        download()
    except _TooLongError:
        part.unlink()
        return f"more than the {spec.bytes} bytes"
    actual = sha256(part)
    if actual == spec.sha256:
        publish(part, target)
        return None
    part.unlink()
    return f"a file with sha256 {actual}"


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
            if status == 416:
                # Nothing lies beyond `part`: it is whole, or it is of another file.
                if sha256(part) == spec.sha256:
                    return
                part.unlink()
            elif status is not None and status < 500 and status not in _WORTH_RETRYING:
                raise
            if attempt == attempts - 1:
                raise


def _request(spec: ModelSpec, stream: BinaryIO, progress: Progress | None) -> None:
    """Append what the file lacks, or all of it where the server does not go on from there."""
    import requests

    assert spec.url is not None
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
        length = int(response.headers.get("Content-Length", 0))
        size = here + length if length else spec.bytes
        for chunk in response.iter_content(_CHUNK):
            if spec.bytes is not None and here + len(chunk) > spec.bytes:
                raise _TooLongError
            here += stream.write(chunk)
            if progress is not None:
                progress(here, size)


class _TooLongError(Exception):
    pass


def _reason(error: requests.exceptions.RequestException) -> str:
    if error.response is not None:
        return f"HTTP {error.response.status_code}"
    import requests

    if isinstance(error, requests.exceptions.Timeout):
        return "the server does not answer"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection was cut"
    return "no connection"
