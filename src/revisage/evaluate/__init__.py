"""Measuring methods of restoration on one set of pictures, so that the numbers can be compared.

Example::

    data = clean_pictures(Path("faces"), recipe="gfpgan", seed=0, view=View(aligned=True))
    methods = open_methods(["input", "revisage-face-256", "ours=outputs/"], MethodSettings(aligned=True))
    results = evaluate(data, methods, open_metrics(["psnr", "degrees"], data), Path("out"))
    write_reports(results, Path("out"))
"""

from revisage.evaluate.data import Data, View, clean_pictures, outputs_only, pairs_of, select
from revisage.evaluate.groups import Labels, read_labels
from revisage.evaluate.measure import MetricSources, open_metrics
from revisage.evaluate.methods import Method, MethodSettings, open_methods
from revisage.evaluate.reports import write_reports
from revisage.evaluate.results import Results
from revisage.evaluate.run import evaluate
from revisage.evaluate.standard import STANDARD_TESTS, StandardTest

__all__ = [
    "STANDARD_TESTS",
    "Data",
    "Labels",
    "Method",
    "MethodSettings",
    "MetricSources",
    "Results",
    "StandardTest",
    "View",
    "clean_pictures",
    "evaluate",
    "open_methods",
    "open_metrics",
    "outputs_only",
    "pairs_of",
    "read_labels",
    "select",
    "write_reports",
]
