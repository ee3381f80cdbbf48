"""Measuring methods of restoration on one set of pictures, so that the numbers can be compared.

Example::

    data = clean_pictures(Path("faces"), recipe="gfpgan", seed=0, view=View(aligned=True))
    methods = open_methods(["input", "revisage-face-256", "ours=outputs/"], MethodSettings(aligned=True))
    results = evaluate(data, methods, open_metrics(["psnr", "degrees"], data), Path("out"))
    write_reports(results, Path("out"))
"""

from revisage.lab.evaluate.data import (
    STANDARD_TESTS,
    Data,
    StandardTest,
    View,
    clean_pictures,
    outputs_only,
    pairs_of,
    select,
)
from revisage.lab.evaluate.measure import open_metrics
from revisage.lab.evaluate.methods import Method, MethodSettings, open_methods
from revisage.lab.evaluate.reports import write_reports
from revisage.lab.evaluate.results import Labels, Results, read_labels
from revisage.lab.evaluate.run import evaluate

__all__ = [
    "STANDARD_TESTS", "Data", "Labels", "Method", "MethodSettings", "Results", "StandardTest", "View",
    "clean_pictures", "evaluate", "open_methods", "open_metrics", "outputs_only", "pairs_of", "read_labels",
    "select", "write_reports",
]  # fmt: skip
