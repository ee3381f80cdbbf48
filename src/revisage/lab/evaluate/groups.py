"""Labels of pictures, such as age or gender, and the table that gives them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from revisage.errors import UsageError
from revisage.lab.evaluate.data import stem

NAMES = ("image", "file")  # of the column that names the picture
MOST_GROUPS = 20


@dataclass(frozen=True)
class Labels:
    """`columns[COLUMN][STEM]` is the label of a picture, by its name without extension.

    `left_out` are columns with more than `MOST_GROUPS` labels, which make no groups.
    """

    columns: dict[str, dict[str, str]]
    left_out: tuple[str, ...] = ()

    def of(self, column: str, names: Sequence[str]) -> list[str]:
        """The labels of pictures by their names, in order."""
        return [self.columns[column][stem(name)] for name in names]


def read_labels(file: Path, names: Sequence[str]) -> Labels:
    """The labels of the pictures `names` from a CSV table: a column "image" (or "file"), the others labels.

    Raises UsageError when the file cannot be read, has no such columns, or lacks a picture.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as text:
            rows = list(csv.DictReader(text))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"--groups {file} cannot be read: {error}") from None
    key = next((name for name in NAMES if rows and name in rows[0]), None)
    columns = [name for name in (rows[0] if rows else ()) if name and name != key]
    if key is None or not columns:
        raise UsageError(f"--groups {file} needs a column image and one or more columns of labels")
    by_name = {stem(row[key]) if "." in row[key] else row[key]: row for row in rows if row[key]}
    missing = [name for name in names if stem(name) not in by_name]
    if missing:
        raise UsageError(f"--groups {file} does not list {missing[0]} ({len(missing)} pictures missing)")
    labels = {
        column: {stem(name): (by_name[stem(name)][column] or "").strip() for name in names}
        for column in columns
    }
    few = {column: found for column, found in labels.items() if len(set(found.values())) <= MOST_GROUPS}
    return Labels(few, tuple(column for column in labels if column not in few))
