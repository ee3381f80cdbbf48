"""Metrics: one a file, a function on batches; here the table of them, for evaluation.

Example::

    metrics = load(["psnr", "niqe", "frechet_identity"], Sources(folder=Path("weights")))
    for restored, truth in batches:  # (N, 3, H, W) RGB in [0, 1]
        for metric in metrics:
            values = metric.update(restored, truth)  # (N,) or None
    print({metric.spec.name: metric.result() for metric in metrics})
"""

from revisage.lab.metrics.metric import Metric, MetricSpec, describe
from revisage.lab.metrics.table import METRICS, Entry, Sources, load

__all__ = ["METRICS", "Entry", "Metric", "MetricSpec", "Sources", "describe", "load"]
