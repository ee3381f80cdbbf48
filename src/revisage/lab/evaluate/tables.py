"""Tables for people: Markdown and LaTeX, the best figure of each column marked."""

from __future__ import annotations

import math
import re

from revisage.lab.evaluate.expressions import UNSTABLE
from revisage.lab.evaluate.results import LEAST_GROUP, Results
from revisage.lab.evaluate.summary import Summary
from revisage.lab.metrics import MetricSpec

_TITLES = {"higher": "↑", "lower": "↓"}


def markdown(results: Results) -> str:
    """One row a method: mean (95 % interval), the best of a column in bold."""
    lines = [
        "| method | " + " | ".join(_title(spec) for spec in results.metrics) + " |",
        "|---|" + "---|" * len(results.metrics),
    ]
    winners = {spec.name: best(results, spec) for spec in results.metrics}
    for method in results.methods:
        cells = []
        for spec in results.metrics:
            text = cell(results.summary(method, spec.name), spec)
            cells.append(f"**{text}**" if method in winners[spec.name] else text)
        lines.append(f"| {_escaped(method)} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", caption(results), ""])


def latex(results: Results) -> str:
    """The same for LaTeX, with the package booktabs."""
    lines = [
        r"\begin{tabular}{l" + "r" * len(results.metrics) + "}",
        r"\toprule",
        "method & " + " & ".join(_tex(spec.name) + _ARROWS[spec.better] for spec in results.metrics) + r" \\",
        r"\midrule",
    ]
    winners = {spec.name: best(results, spec) for spec in results.metrics}
    for method in results.methods:
        cells = []
        for spec in results.metrics:
            text = cell(results.summary(method, spec.name), spec).replace("–", "--")
            cells.append(rf"\textbf{{{text}}}" if method in winners[spec.name] else text)
        lines.append(_tex(method) + " & " + " & ".join(cells) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", "% " + caption(results), ""])


_ARROWS = {"higher": r" $\uparrow$", "lower": r" $\downarrow$"}


def groups_markdown(results: Results) -> str:
    """For each column of labels: a table of every method and group, and one of the largest gaps."""
    assert results.labels is not None
    parts = []
    specs = results.per_picture()
    for column in results.labels.columns:
        groups = results.groups(column)
        lines = [
            f"## {_escaped(column)}",
            "",
            "| method | group | n | " + " | ".join(_title(spec) for spec in specs) + " |",
            "|---|---|---|" + "---|" * len(specs),
        ]
        document = results.document["groups"][column]
        for method in results.methods:
            for label, rows in groups.items():
                figures = document[method]["groups"][label]
                cells = [_from_entry(figures[spec.name], spec) for spec in specs]
                lines.append(
                    f"| {_escaped(method)} | {_escaped(label)} | {len(rows)} | " + " | ".join(cells) + " |"
                )
        lines += ["", "Largest gap:", "", *_gaps(results, [column])]
        parts.append("\n".join(lines))
    return "\n\n".join([*parts, _GAP_NOTE, caption(results)]) + "\n"


def gaps_markdown(results: Results) -> str:
    """The largest gap of each metric, for every column of labels and every method."""
    assert results.labels is not None
    return "\n".join([*_gaps(results, list(results.labels.columns)), "", _GAP_NOTE, ""])


_GAP_NOTE = (
    f"Groups of at least {LEAST_GROUP} pictures are compared. Least and greatest: the groups with the "
    "least and the greatest mean. By chance: what the gap stays under in 95 % of random labellings."
)


def _gaps(results: Results, columns: list[str]) -> list[str]:
    """The rows of a table; with several columns of labels each row names its own."""
    named = len(columns) > 1
    heads = [*(["labels"] if named else []), "method", "metric", "gap", "by chance", "least", "greatest"]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for column in columns:
        for method in results.methods:
            gaps = results.document["groups"][column][method]["largest_gap"]
            for spec in results.per_picture():
                gap = gaps.get(spec.name)
                if gap is not None:
                    figures = [_from_entry(gap, spec), number(gap["chance95"], spec)]
                    label = [_escaped(column)] if named else []
                    ends = [_escaped(gap["low"]), _escaped(gap["high"])]
                    cells = [*label, _escaped(method), spec.name, *figures, *ends]
                    lines.append("| " + " | ".join(cells) + " |")
    return lines


def caption(results: Results) -> str:
    """On what the figures were measured, in one line."""
    data = results.facts["data"]
    parts = [f"{data['pictures']} pictures", f"sha256 of the list {data['sha256'][:12]}"]
    if data["recipe"] is not None:
        parts.append(f"recipe {data['recipe']}, seed {data['seed']}")
    parts.append(data["setting"])
    if data["without_face"]:
        parts.append(f"{len(data['without_face'])} left out, no face found")
    return f"({'; '.join(parts)}; mean and 95 % bootstrap interval; {results.facts['tool']})"


def cell(summary: Summary, spec: MetricSpec) -> str:
    """Mean and interval of one figure."""
    mean = number(summary.mean, spec)
    if summary.interval is None:
        return mean
    return f"{mean} ({number(summary.interval[0], spec)}–{number(summary.interval[1], spec)})"


def number(value: float | None, spec: MetricSpec) -> str:
    """As many digits as the metric's scale is worth."""
    if value is None or math.isnan(value):
        return "none"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if spec.name == "kid":
        return f"{value:.4f}"
    small = spec.data_range and not spec.unit and spec.name not in ("niqe", "fid")
    return f"{value:.3f}" if small or spec.unit.startswith("share") else f"{value:.2f}"


def _from_entry(entry: dict[str, object], spec: MetricSpec) -> str:
    mean, interval = entry["mean"], entry["ci95"]
    text = number(mean, spec)  # type: ignore[arg-type]
    if interval is None:
        return text
    low, high = (number(value, spec) for value in interval)  # type: ignore[attr-defined]
    return f"{text} ({low}–{high})"


def best(results: Results, spec: MetricSpec) -> set[str]:
    """The methods whose printed mean is the best; none where all are the same by definition."""
    means = {method: results.summary(method, spec.name).mean for method in results.methods}
    known = [value for value in means.values() if not math.isnan(value)]
    if spec.name == UNSTABLE or len(known) < 2:
        return set()
    winning = number(max(known) if spec.better == "higher" else min(known), spec)
    return {method for method, value in means.items() if number(value, spec) == winning}


def _title(spec: MetricSpec) -> str:
    unit = f" [{spec.unit}]" if spec.unit in ("dB", "degrees") else ""
    return f"{spec.name}{unit} {_TITLES[spec.better]}"


def _escaped(text: str) -> str:
    return re.sub(r"([\\|*_`<>\[\]])", r"\\\1", text)


def _tex(text: str) -> str:
    swaps = {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
    }
    return "".join(swaps.get(c, "\\" + c if c in "&%$#_{}" else c) for c in text)
