"""What an evaluation found, before it is written down."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from revisage.lab.evaluate.groups import Labels
from revisage.lab.evaluate.summary import Gap, Summary, largest_gap, summarise
from revisage.lab.metrics import MetricSpec

LEAST_GROUP = 10
"""Pictures that a group needs to be compared with others."""


@dataclass(frozen=True, eq=False)
class Results:
    """Figures of every method by every metric.

    Attributes:
        names: of the pictures measured.
        methods: labels, in order.
        metrics: definitions, in order.
        values: (pictures, methods, metrics) float64; NaN where a picture has no value, or the metric is one
            of sets.
        sets: metric -> method -> value, of the metrics between sets.
        facts: what else belongs beside the numbers, in JSON types: data, seeds, hashes, versions.
        labels: groups of the pictures; None without.
    """

    names: tuple[str, ...]
    methods: tuple[str, ...]
    metrics: tuple[MetricSpec, ...]
    values: np.ndarray
    sets: dict[str, dict[str, float]]
    facts: dict[str, Any]
    labels: Labels | None = None

    def summary(self, method: str, metric: str) -> Summary:
        """A figure. Those of sets have no interval: every draw would need all features again."""
        return self._figures[method][metric]

    @cached_property
    def _figures(self) -> dict[str, dict[str, Summary]]:
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
        values: np.ndarray = self.values[:, self.methods.index(method), metrics.index(metric)]
        return values

    def per_picture(self) -> list[MetricSpec]:
        """The metrics that give a value a picture; only these are told by group."""
        return [spec for spec in self.metrics if spec.name not in self.sets]

    def groups(self, column: str) -> dict[str, np.ndarray]:
        """Label -> which pictures have it, (n,) indices; labels in order of the alphabet, "" left out."""
        assert self.labels is not None
        labels = np.array(self.labels.of(column, self.names))
        return {str(label): np.flatnonzero(labels == label) for label in sorted(set(labels.tolist()) - {""})}

    def gap(self, column: str, method: str, metric: str) -> Gap | None:
        """The largest gap between the groups of at least `LEAST_GROUP` pictures; None under two of them."""
        values = self.column(method, metric)
        large = {k: values[rows] for k, rows in self.groups(column).items() if len(rows) >= LEAST_GROUP}
        return largest_gap(large)

    @cached_property
    def document(self) -> dict[str, Any]:
        """All of it in JSON types: the layout of results.json."""
        figures = {
            method: {spec.name: self.summary(method, spec.name).entry() for spec in self.metrics}
            for method in self.methods
        }
        whole: dict[str, Any] = {"schema": 1, **self.facts, "methods": figures}
        if self.labels is not None:
            whole["groups"] = {column: self._grouped(column) for column in self.labels.columns}
            whole["groups_left_out"] = list(self.labels.left_out)
        return whole

    def _grouped(self, column: str) -> dict[str, Any]:
        whole: dict[str, Any] = {}
        for method in self.methods:
            by_label = {
                label: {
                    spec.name: summarise(self.column(method, spec.name)[rows]).entry()
                    for spec in self.per_picture()
                }
                for label, rows in self.groups(column).items()
            }
            gaps = {spec.name: self.gap(column, method, spec.name) for spec in self.per_picture()}
            whole[method] = {
                "groups": by_label,
                "largest_gap": {name: gap.entry() for name, gap in gaps.items() if gap is not None},
            }
        return whole
