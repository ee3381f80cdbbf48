"""Writing results down: results.json, images.csv, tables, the contact sheet and the page."""

import csv
import io
import json
import math
from pathlib import Path

from revisage.files import write_atomically
from revisage.lab.evaluate import page, tables
from revisage.lab.evaluate.results import Results


def write_reports(results: Results, out: Path) -> list[Path]:
    """Everything but the pictures, which `evaluate` has written. Returns the files.

    The same results give the same bytes. Raises SaveError when a file cannot be written.
    """
    files = {
        "results.json": json.dumps(results.document, indent=2, ensure_ascii=False, allow_nan=False) + "\n",
        "images.csv": _images(results),
        "table.md": tables.markdown(results),
        "table.tex": tables.latex(results),
        "index.html": page.page(results, out),
    }
    if results.labels is not None:
        files["groups.md"] = tables.groups_markdown(results)
    for name, text in files.items():
        write_atomically(out / name, text.encode())
    page.draw_sheet(results, out, out / "sheet.png")
    return [*(out / name for name in files), out / "sheet.png"]


def _images(results: Results) -> str:
    """image, method, a column a metric; empty where there is no value."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["image", "method", *(spec.name for spec in results.per_picture())])
    columns = [i for i, spec in enumerate(results.metrics) if spec.name not in results.sets]
    for name, row in zip(results.names, results.values, strict=True):
        for label, values in zip(results.methods, row, strict=True):
            rows.writerow([name, label, *("" if math.isnan(v) else repr(float(v)) for v in values[columns])])
    return text.getvalue()
