"""Many results as one ZIP file, written while it is sent."""

import csv
import io
import time
import zipfile
from collections.abc import Iterator, Sequence
from itertools import chain, count
from pathlib import PurePath
from typing import Any

from revisage.server.answers import file_name
from revisage.server.files import CHUNK, Files
from revisage.server.problems import ProblemError
from revisage.server.queue.jobs import Job

TABLE = "restored.csv"
COLUMNS = (
    "file", "photo", "width", "height", "faces found", "faces restored",
    "largest change of identity in degrees", "models", "notes",
)  # fmt: skip


class _Pipe(io.BytesIO):
    """Holds what was written until it is taken; tells no position, so that the ZIP needs no second look."""

    def tell(self) -> int:
        raise io.UnsupportedOperation

    def take(self) -> bytes:
        data = self.getvalue()
        self.seek(0)
        self.truncate()
        return data


def stream(files: Files, jobs: Sequence[Job]) -> Iterator[bytes]:
    """A ZIP of the results of these jobs, not compressed again, and `TABLE` with a line for each. A result
    that has been erased meanwhile is named there as missing."""
    pipe = _Pipe()
    taken: set[str] = {TABLE}
    rows: list[Sequence[object]] = []
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_STORED) as archive:
        for job in jobs:
            assert job.result is not None
            assert job.ended is not None
            try:
                source, format = files.result(job.id, job.result)
                report = files.report(job.id, job.result)["photos"][0]
            except ProblemError:
                rows.append(("", job.name, *[""] * (len(COLUMNS) - 3), "erased before it was sent"))
                continue
            name = _free(file_name(job.name, format), taken)
            rows.append(_row(name, job.name, report))
            info = zipfile.ZipInfo(name, time.localtime(job.ended)[:6])
            with source, archive.open(info, "w", force_zip64=True) as entry:
                while chunk := source.read(CHUNK):
                    entry.write(chunk)
                    yield pipe.take()
        archive.writestr(TABLE, _table(rows))
    yield pipe.take()


def _row(name: str, photo: str, report: dict[str, Any]) -> Sequence[object]:
    faces = report["faces"]
    angles = [face["identity_degrees"] for face in faces if face["identity_degrees"] is not None]
    notes = [*report["notes"], *(f"face {f['number']}: {f['reason']}" for f in faces if f["reason"])]
    restored = sum(face["outcome"] == "restored" for face in faces)
    used = [*(["face"] if restored else []), "scene", "damage", "tone"]
    models = [model for task in used if (model := report["models"][task])]
    most = max(angles, default="")
    return name, photo, *report["size_out"], len(faces), restored, most, " ".join(models), "; ".join(notes)


def _table(rows: Sequence[Sequence[object]]) -> str:
    """CSV as spreadsheets read it: with a byte order mark, and no name that begins like a formula."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow([f"'{value}" if str(value)[:1] in tuple("=+-@\t") else value for value in row])
    return "\ufeff" + text.getvalue()


def _free(name: str, taken: set[str]) -> str:
    """The name, the later of two equal ones numbered."""
    path = PurePath(name)
    numbered = (f"{path.stem}-{number}{path.suffix}" for number in count(2))
    free = next(one for one in chain([name], numbered) if one.lower() not in taken)
    taken.add(free.lower())
    return free
