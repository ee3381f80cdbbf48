"""A folder of photos into a folder of aligned faces with their landmarks, which training reads.

`OUT/faces/` has the crops, `OUT/faces.csv` a row for each; `OUT/dropped/` and `OUT/dropped.csv` what was not
good enough, and why. `OUT/journal.jsonl` has a line for every photo done, so that a run that was stopped
goes on; it ends with the same bytes as one that was not.
"""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from filelock import FileLock, Timeout

from revisage.errors import SaveError, UsageError
from revisage.faces import Detector
from revisage.files import sweep, write_atomically
from revisage.image import format_of
from revisage.image.formats import HEAD_BYTES, sniff
from revisage.lab.data.prepare.photo import PrepareSettings, Record, prepare_photo
from revisage.lab.data.prepare.tables import JOURNAL, Summary, finish, is_whole, line, read_journal, remove

SETTINGS = "settings.json"
_LOCK = ".lock"

Watch = Callable[[Record, int, int], None]
"""Told of each photo: its record, how many are done with it, and of how many."""


def prepare(
    source: Path,
    out: Path,
    detector: Detector,
    settings: PrepareSettings,
    *,
    detector_name: str,
    workers: int = 1,
    watch: Watch = lambda record, done, total: None,
) -> Summary:
    """Prepare the photos below `source` (by their names or first bytes; hidden ones are left out).

    With another `detector_name`, settings or `source` a folder that holds results is refused. `workers`
    photos are in hand at once, which changes no byte. A photo that has changed since an earlier run is done
    again, one that could not be read is tried again, and what came of one that has gone is removed.

    Raises UsageError when `source` has no photos or `out` cannot be used, SaveError when writing fails.
    """
    if workers < 1:
        raise UsageError(f"workers {workers}: give at least 1")
    photos = find_photos(source, out)
    _claim(source, out, settings, detector_name)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="photo")
    try:
        with FileLock(out / _LOCK, timeout=0):
            records = _still_good(source, out)
            left = [name for name in photos if name not in records]
            made = pool.map(lambda name: prepare_photo(source, name, out, detector, settings), left)
            with (out / JOURNAL).open("a", encoding="ascii") as journal:
                for done, record in enumerate(made, len(photos) - len(left) + 1):
                    journal.write(line(record))
                    journal.flush()
                    records[record.source] = record
                    watch(record, done, len(photos))
            return finish(out, records.values(), settings.near)
    except Timeout:
        raise UsageError(f"another run is writing to {out}: wait for it, or stop it") from None
    except OSError as error:  # what a photo causes is in its record
        raise SaveError(f"{error.filename or out} cannot be written ({error.strerror or error})") from error
    finally:
        pool.shutdown(cancel_futures=True)


def find_photos(source: Path, out: Path) -> list[str]:
    """Paths below `source`, sorted, with forward slashes, without what lies in `out`; UsageError for none."""
    if not source.is_dir():
        raise UsageError(f"{source} is no folder: give the folder that holds the photos")
    target = out.resolve()
    if target == source.resolve():
        raise UsageError(f"{out} holds the photos: choose another folder to write to")
    found = []
    for path in source.rglob("*"):
        inner = path.relative_to(source)
        hidden = any(part.startswith(".") for part in inner.parts)
        if not hidden and path.is_file() and not path.resolve().is_relative_to(target) and _is_photo(path):
            found.append(inner.as_posix())
    if not found:
        raise UsageError(f"no photos in {source}")
    return sorted(found)


def _is_photo(path: Path) -> bool:
    """By its name, or by its first bytes: photos come without an extension, or with a wrong one."""
    if format_of(path) is not None:
        return True
    with suppress(OSError), path.open("rb") as file:
        return sniff(file.read(HEAD_BYTES)) is not None
    return False


def _claim(source: Path, out: Path, settings: PrepareSettings, detector_name: str) -> None:
    """Write down in a new `out` what it is for, or see that it is for this."""
    stated = {"source": str(source.resolve()), "finder": detector_name} | asdict(settings)
    path = out / SETTINGS
    if not path.is_file():
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise UsageError(f"{out} is no empty folder, nor one of `revisage prepare`: choose another")
        write_atomically(path, (json.dumps(stated, indent=2) + "\n").encode())
        return
    try:
        before = dict(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(f"{path} cannot be read ({error}): choose another folder to write to") from None
    for name in sorted(stated.keys() | before.keys()):
        if stated.get(name) != before.get(name):
            raise UsageError(
                f"{out} was made with {name} {before.get(name)}, not {stated.get(name)}: "
                "give the same again, or another folder to write to"
            )


def _still_good(source: Path, out: Path) -> dict[str, Record]:
    """What an earlier run made of photos that are as they were; what it made of others is removed."""
    sweep(out)
    records = read_journal(out)
    for name, record in list(records.items()):
        with suppress(OSError):
            status = (source / name).stat()
            same = (status.st_size, status.st_mtime_ns) == (record.bytes, record.changed_ns)
            if same and record.error is None and is_whole(out, record):
                continue
        remove(out, records.pop(name))
    return records
