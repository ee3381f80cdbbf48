"""What an evaluation found, before it is written down; by labels of the pictures as well, such as age."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from revisage.errors import UsageError
from revisage.lab.evaluate.data import stem
from revisage.lab.evaluate.summary import Gap, Summary, largest_gap, summarise
from revisage.lab.metrics import MetricSpec

LEAST_GROUP = 10
"""Pictures that a group needs to be compared with others."""

NAMES = ("image", "file")  # of the column that names the picture
MOST_GROUPS = 20


@dataclass(frozen=True)
class Labels:
    """`columns[COLUMN][STEM]` is the label of a picture, by its name without extension. `left_out` are
    columns with more than `MOST_GROUPS` labels, which make no groups."""

    columns: dict[str, dict[str, str]]
    left_out: tuple[str, ...] = ()


def read_labels(file: Path, names: Sequence[str]) -> Labels:
    """The labels of the pictures `names` from a CSV table: a column "image" (or "file"), the others labels.
    Raises UsageError when the file cannot be read, has no such columns, or lacks a picture."""
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
    own = {stem(name): by_name[stem(name)] for name in names}
    labels = {column: {key: (row[column] or "").strip() for key, row in own.items()} for column in columns}
    few = {column: found for column, found in labels.items() if len(set(found.values())) <= MOST_GROUPS}
    return Labels(few, tuple(column for column in labels if column not in few))


@dataclass(frozen=True)
class Grouped:
    """Figures of one method by one column of labels."""

    sizes: dict[str, int]
    """Label -> pictures that have it; labels in order of the alphabet, "" left out."""
    groups: dict[str, dict[str, Summary]]
    """Label -> metric -> figure."""
    gaps: dict[str, Gap]
    """Metric -> the largest gap between groups of at least `LEAST_GROUP` pictures, where there are two."""

    def entry(self) -> dict[str, Any]:
        """In JSON types."""
        groups = {label: _entries(figures) for label, figures in self.groups.items()}
        return {"groups": groups, "largest_gap": _entries(self.gaps)}


@dataclass(frozen=True, eq=False)
class Results:
    """Figures of every method by every metric."""

    names: tuple[str, ...]
    """Of the pictures measured."""
    methods: tuple[str, ...]
    """Labels, in order."""
    metrics: tuple[MetricSpec, ...]
    """Definitions, in order."""
    values: np.ndarray
    """(pictures, methods, metrics) float64; NaN where a picture has no value, and for metrics of sets."""
    sets: dict[str, dict[str, float]]
    """Metric -> method -> value, of the metrics between sets."""
    facts: dict[str, Any]
    """What else belongs beside the numbers, in JSON types: data, seeds, hashes, versions."""
    labels: Labels | None = None
    """Groups of the pictures; None without."""

    @cached_property
    def figures(self) -> dict[str, dict[str, Summary]]:
        """Method -> metric -> figure. Those of sets have no interval: every draw would need all features."""
        sets, n = self.sets, len(self.names)
        return {
            method: {
                spec.name: Summary(sets[spec.name][method], None, n)
                if spec.name in sets
                else summarise(self.column(method, spec.name))
                for spec in self.metrics
            }
            for method in self.methods
        }

    def column(self, method: str, metric: str) -> np.ndarray:
        """(pictures,) values of one method by one metric."""
        metrics = [spec.name for spec in self.metrics]
        return self.values[:, self.methods.index(method), metrics.index(metric)]

    def per_picture(self) -> list[MetricSpec]:
        """The metrics that give a value a picture; only these are told by group."""
        return [spec for spec in self.metrics if spec.name not in self.sets]

    @cached_property
    def grouped(self) -> dict[str, dict[str, Grouped]]:
        """Column of labels -> method -> figures by group."""
        columns = () if self.labels is None else self.labels.columns
        return {column: {method: self._by(column, method) for method in self.methods} for column in columns}

    def _by(self, column: str, method: str) -> Grouped:
        assert self.labels is not None
        labels = np.array([self.labels.columns[column][stem(name)] for name in self.names])
        rows = {str(label): np.flatnonzero(labels == label) for label in sorted({*labels.tolist()} - {""})}
        values = {spec.name: self.column(method, spec.name) for spec in self.per_picture()}
        groups = {label: {name: summarise(v[i]) for name, v in values.items()} for label, i in rows.items()}
        large = [chosen for chosen in rows.items() if len(chosen[1]) >= LEAST_GROUP]
        gaps = {name: largest_gap({label: v[i] for label, i in large}) for name, v in values.items()}
        sizes = {label: len(chosen) for label, chosen in rows.items()}
        return Grouped(sizes, groups, {name: gap for name, gap in gaps.items() if gap is not None})

    @property
    def document(self) -> dict[str, Any]:
        """All of it in JSON types: the layout of results.json."""
        figures = {method: _entries(self.figures[method]) for method in self.methods}
        whole: dict[str, Any] = {"schema": 1, **self.facts, "methods": figures}
        if self.labels is not None:
            whole["groups"] = {column: _entries(methods) for column, methods in self.grouped.items()}
            whole["groups_left_out"] = list(self.labels.left_out)
        return whole


def _entries(figures: Mapping[str, Summary | Gap | Grouped]) -> dict[str, Any]:
    return {name: figure.entry() for name, figure in figures.items()}
