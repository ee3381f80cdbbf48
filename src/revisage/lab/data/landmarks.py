"""The table beside a folder of aligned crops: which picture, where its landmarks lie, whom it shows.

`revisage prepare` writes `OUT/faces.csv` beside `OUT/faces/`; any table with the same named columns serves.
Landmarks are those of `revisage.faces.Face`, x, y in pixels of the crop as stored, centres at whole numbers.
"""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from revisage.errors import TrainingError

POINTS = ("right_eye", "left_eye", "nose", "right_mouth", "left_mouth")
POINT_COLUMNS = tuple(f"{point}_{axis}" for point in POINTS for axis in "xy")
MIRRORED = (1, 0, 2, 4, 3)  # what each point is called once left and right are exchanged


@dataclass(frozen=True, eq=False)
class Crop:
    """One row of the table."""

    file: str
    """The crop, relative to the folder that lies beside the table."""
    landmarks: np.ndarray
    """(5, 2) float32."""
    coverage: float
    """Share of the crop that lies inside its photo, 0 to 1; the rest is mirrored."""
    group: str
    """Crops of one group are of one person, or may be: a split must not part them."""

    @property
    def stem(self) -> str:
        """The file's name without folder and extension; each one of a table is different."""
        return PurePosixPath(self.file).stem


def read_table(table: Path, columns: Iterable[str] = ()) -> Iterator[tuple[str, dict[str, str]]]:
    """(Where it stands, for messages; its values) of each row of a table. Raises TrainingError when the table
    is missing, cannot be read or lacks one of `columns`."""
    try:
        with table.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            for name in columns:
                if name not in (rows.fieldnames or ()):
                    raise TrainingError(f"{table} has no column {name}: `revisage prepare` makes such tables")
            for row in rows:
                yield f"{table}, line {rows.line_num}", row
    except FileNotFoundError:
        raise TrainingError(f"{table} is missing: `revisage prepare` makes it") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TrainingError(f"{table} cannot be read: {error}") from None


def read_crops(table: Path) -> list[Crop]:
    """All rows of a table. One without a column `group` holds unrelated crops: each is its own group. Raises
    TrainingError, naming the line, when the table is missing or a row cannot be used."""
    crops: dict[str, Crop] = {}
    for where, row in read_table(table, ("file", "coverage", *POINT_COLUMNS)):
        crop = _crop(row, where)
        if crop.stem in crops:
            raise TrainingError(f"{where}: {crop.stem} is there twice")
        crops[crop.stem] = crop
    return list(crops.values())


def _crop(row: dict[str, str], where: str) -> Crop:
    try:
        coverage, *values = (float(row[name]) for name in ("coverage", *POINT_COLUMNS))
    except (TypeError, ValueError):  # a short row has None
        raise TrainingError(f"{where}: a number is missing or is none") from None
    if not np.isfinite((coverage, *values)).all():
        raise TrainingError(f"{where}: a number is not finite")
    if not (file := row["file"]):
        raise TrainingError(f"{where}: no file is named")
    landmarks = np.array(values, np.float32).reshape(5, 2)
    return Crop(file, landmarks, coverage, row.get("group") or PurePosixPath(file).stem)


def read_landmarks(table: Path) -> dict[str, np.ndarray]:
    """Stem of each crop -> its (5, 2) float32 landmarks. Raises TrainingError as `read_crops` does."""
    return {crop.stem: crop.landmarks for crop in read_crops(table)}


def mirror_landmarks(points: np.ndarray, width: int, order: tuple[int, ...] = MIRRORED) -> np.ndarray:
    """(..., 5, 2) in a picture `width` pixels wide -> in its mirror image, right and left renamed; other
    landmarks by their `order`, what each is called there."""
    mirrored = points[..., order, :].copy()
    mirrored[..., 0] = width - 1 - mirrored[..., 0]
    return mirrored


def resize_landmarks(points: np.ndarray, side: int, new_side: int) -> np.ndarray:
    """(..., 2) in a square picture -> in the same picture resized, its edges (at -0.5) kept in place."""
    return ((points + 0.5) * (new_side / side) - 0.5).astype(points.dtype)
