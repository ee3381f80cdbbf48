"""Tables for people: Markdown and LaTeX, the best figure of each column marked."""

import math
import re

from revisage.lab.evaluate.expressions import UNSTABLE
from revisage.lab.evaluate.results import LEAST_GROUP, Results
from revisage.lab.evaluate.summary import Summary
from revisage.lab.metrics import MetricSpec


def rows(results: Results) -> list[tuple[str, list[tuple[str, bool]]]]:
    """Each method with its cells, and whether each is the best of its column."""
    found = []
    for method in results.methods:
        figures = [(results.figures[method][spec.name], spec) for spec in results.metrics]
        cells = [(cell(figure, spec), method in best(results, spec)) for figure, spec in figures]
        found.append((method, cells))
    return found


def markdown(results: Results) -> str:
    """One row a method: mean (95 % interval), the best of a column in bold."""
    lines = _head("method", *map(_title, results.metrics))
    for method, cells in rows(results):
        lines.append(_line(_escaped(method), *(f"**{text}**" if won else text for text, won in cells)))
    return "\n".join([*lines, "", caption(results), ""])


def latex(results: Results) -> str:
    """The same for LaTeX, with the package booktabs."""
    arrows = {"higher": r" $\uparrow$", "lower": r" $\downarrow$"}
    lines = [
        r"\begin{tabular}{l" + "r" * len(results.metrics) + "}",
        r"\toprule",
        "method & " + " & ".join(_tex(spec.name) + arrows[spec.better] for spec in results.metrics) + r" \\",
        r"\midrule",
    ]
    for method, cells in rows(results):
        texts = [(rf"\textbf{{{text}}}" if won else text).replace("–", "--") for text, won in cells]
        lines.append(" & ".join([_tex(method), *texts]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", "% " + caption(results), ""])


def groups_markdown(results: Results) -> str:
    """For each column of labels: a table of every method and group, and one of the largest gaps."""
    parts, specs = [], results.per_picture()
    for column, methods in results.grouped.items():
        lines = [f"## {_escaped(column)}", "", *_head("method", "group", "n", *map(_title, specs))]
        for method, found in methods.items():
            for label, figures in found.groups.items():
                cells = [cell(figures[spec.name], spec) for spec in specs]
                lines.append(_line(_escaped(method), _escaped(label), str(found.sizes[label]), *cells))
        parts.append("\n".join([*lines, "", "Largest gap:", "", *_gaps(results, [column])]))
    return "\n\n".join([*parts, _GAP_NOTE, caption(results)]) + "\n"


def gaps_markdown(results: Results) -> str:
    """The largest gap of each metric, for every column of labels and every method."""
    return "\n".join([*_gaps(results, list(results.grouped)), "", _GAP_NOTE, ""])


_GAP_NOTE = (
    f"Groups of at least {LEAST_GROUP} pictures are compared. Least and greatest: the groups with the "
    "least and the greatest mean. By chance: what the gap stays under in 95 % of random labellings."
)


def _gaps(results: Results, columns: list[str]) -> list[str]:
    """The rows of a table; with several columns of labels each row names its own."""
    named = len(columns) > 1
    labels = ["labels"] if named else []
    lines = _head(*labels, "method", "metric", "gap", "by chance", "least", "greatest")
    for column in columns:
        for method, found in results.grouped[column].items():
            for spec in results.per_picture():
                if (gap := found.gaps.get(spec.name)) is not None:
                    label = [_escaped(column)] if named else []
                    figures = [cell(gap.gap, spec), number(gap.chance, spec)]
                    ends = [_escaped(gap.low), _escaped(gap.high)]
                    lines.append(_line(*label, _escaped(method), spec.name, *figures, *ends))
    return lines


def _head(*titles: str) -> list[str]:
    return [_line(*titles), "|---" * len(titles) + "|"]


def _line(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


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


def number(value: float, spec: MetricSpec) -> str:
    """As many digits as the metric's scale is worth."""
    if math.isnan(value):
        return "none"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if spec.name == "kid":
        return f"{value:.4f}"
    small = spec.data_range and not spec.unit and spec.name not in ("niqe", "fid")
    return f"{value:.3f}" if small or spec.unit.startswith("share") else f"{value:.2f}"


def best(results: Results, spec: MetricSpec) -> set[str]:
    """The methods whose printed mean is the best; none where all are the same by definition."""
    means = {method: results.figures[method][spec.name].mean for method in results.methods}
    known = [value for value in means.values() if not math.isnan(value)]
    if spec.name == UNSTABLE or len(known) < 2:
        return set()
    winning = number(max(known) if spec.better == "higher" else min(known), spec)
    return {method for method, value in means.items() if number(value, spec) == winning}


def _title(spec: MetricSpec) -> str:
    unit = f" [{spec.unit}]" if spec.unit in ("dB", "degrees") else ""
    return f"{spec.name}{unit} {'↑' if spec.better == 'higher' else '↓'}"


def _escaped(text: str) -> str:
    return re.sub(r"([\\|*_`<>\[\]])", r"\\\1", text)


_TEX = str.maketrans(
    {c: f"\\{c}" for c in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"<": r"\textless{}", ">": r"\textgreater{}"}
)


def _tex(text: str) -> str:
    return text.translate(_TEX)
