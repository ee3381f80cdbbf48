"""What `prepare` writes beside the crops: a journal while it works, two tables in the end."""

import contextlib
import csv
import io
import json
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from revisage.files import write_atomically
from revisage.lab.data.landmarks import POINT_COLUMNS
from revisage.lab.data.pictures import held_out
from revisage.lab.data.prepare.measures import originals
from revisage.lab.data.prepare.photo import DROPPED, KEPT, Crop, Record, readable

JOURNAL = "journal.jsonl"
PLACES = (KEPT, DROPPED)
COLUMNS = (
    "file", "split", "scale", "coverage", *POINT_COLUMNS, "source", "sha256", "face", "score", "sharpness",
    "group",
)  # fmt: skip
DROP_COLUMNS = (*COLUMNS, "reason", "detail")


@dataclass(frozen=True)
class Summary:
    """What a run came to: photos in all, faces kept, how many were dropped for which reason, and the photos
    that could not be read (they count as dropped), each with its error."""

    photos: int
    kept: int
    dropped: dict[str, int]
    unreadable: dict[str, str]


def line(record: Record) -> str:
    """The record as one line of the journal."""
    return json.dumps(asdict(record)) + "\n"


def read_journal(out: Path) -> dict[str, Record]:
    """The photos done so far, by source. What a kill left unfinished at the end is cut off the file."""
    path = out / JOURNAL
    if not path.is_file():
        return {}
    records: dict[str, Record] = {}
    whole = 0
    with path.open("rb") as file:
        for text in file:
            record = _record(text) if text.endswith(b"\n") else None
            if record is None:
                break
            records[record.source] = record
            whole += len(text)
    with path.open("r+b") as file:
        file.truncate(whole)
    return records


def _record(text: bytes) -> Record | None:
    with contextlib.suppress(ValueError, TypeError, KeyError):
        values: dict[str, Any] = json.loads(text)
        faces = tuple(
            Crop(**face | {"landmarks": tuple(map(tuple, face["landmarks"]))}) for face in values["faces"]
        )
        return Record(**values | {"faces": faces})
    return None


def finish(out: Path, records: Iterable[Record], near: int) -> Summary:
    """Decide which faces are copies, move their crops, and write both tables and the journal in order. Doing
    it twice, or once more after a kill, comes to the same."""
    ordered = sorted(records, key=lambda record: record.source)
    copies = _copies(ordered, near)
    kept: list[list[str]] = []
    dropped: list[list[str]] = []
    for record in ordered:
        if not record.faces:
            strays = f"{record.strays} found, not laid out like a face" if record.strays else ""
            none = "restored" if record.restored else "no face"
            reason, detail = ("unreadable", record.error) if record.error else (none, strays)
            dropped.append([*_row(record, None, 0), reason, detail])
        for number, face in enumerate(record.faces):
            reason = face.reason or ("duplicate" if face.file in copies else "")
            _move(out, face.file, DROPPED if reason else KEPT)
            row = _row(record, face, number)
            if reason:
                dropped.append([*row, reason, copies.get(face.file, "")])
            else:
                kept.append(row)
    write_atomically(out / f"{DROPPED}.csv", as_csv(DROP_COLUMNS, dropped))
    write_atomically(out / f"{KEPT}.csv", as_csv(COLUMNS, kept))
    write_atomically(out / JOURNAL, "".join(map(line, ordered)).encode())
    unreadable = {record.source: record.error for record in ordered if record.error}
    reasons = Counter(reason for *_, reason, _ in dropped)
    return Summary(len(ordered), len(kept), dict(reasons), unreadable)


def _copies(records: list[Record], near: int) -> dict[str, str]:
    """The file of each copy -> that of the face it repeats, which is the larger in its photo. Sizes within a
    fifth count as one, as landmarks found again move a little; then the larger file wins, compressed less."""
    good = [(record, face) for record in records for face in record.faces if face.reason is None]
    good.sort(key=lambda p: (round(4 * math.log2(p[1].scale)), -p[0].bytes, p[0].source, p[1].file))
    if not good:
        return {}
    first = originals([bytes.fromhex(face.fingerprint) for _, face in good], near)
    return {good[i][1].file: good[j][1].file for i, j in enumerate(first) if i != j}


def _move(out: Path, file: str, folder: str) -> None:
    """See that a crop lies in `folder`; it may lie in the other one."""
    other = out / (KEPT if folder == DROPPED else DROPPED) / file
    if other.is_file():
        (out / folder / file).parent.mkdir(parents=True, exist_ok=True)
        other.replace(out / folder / file)


def remove(out: Path, record: Record) -> None:
    """Remove the crops of a photo that has changed or gone."""
    for face in record.faces:
        for place in PLACES:
            (out / place / face.file).unlink(missing_ok=True)


def is_whole(out: Path, record: Record) -> bool:
    """Whether every crop of a record is there."""
    return all(any((out / place / face.file).is_file() for place in PLACES) for face in record.faces)


def group_of(source: str) -> str:
    """Whom the faces of a photo may show: its folder's name; its own without one."""
    path = PurePosixPath(readable(source))
    return path.parent.name or path.stem


def _row(record: Record, face: Crop | None, number: int) -> list[str]:
    group = group_of(record.source)
    side = "validation" if held_out(group) else "train"
    if face is None:
        middle = [""] * (2 + len(POINT_COLUMNS))
        return ["", side, *middle, record.source, record.sha256, "", "", "", group]
    points = [f"{value:.2f}" for point in face.landmarks for value in point]
    figures = [str(number), f"{face.score:.3f}", f"{face.sharpness:.3f}"]
    middle = [f"{face.scale:.3f}", f"{face.coverage:.3f}", *points]
    return [face.file, side, *middle, record.source, record.sha256, *figures, group]


def as_csv(columns: tuple[str, ...], rows: list[list[str]]) -> bytes:
    """A table with its heads, in UTF-8."""
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(columns)
    table.writerows(rows)
    return text.getvalue().encode("utf-8", "backslashreplace")  # file names may be any bytes
