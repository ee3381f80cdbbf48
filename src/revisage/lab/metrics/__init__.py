"""Metrics: one a file, a function on batches; here the table of them, for evaluation.

Example::

    psnr, fid = load(["psnr", "fid"], folder=Path("weights"))
    values = psnr(restored, truth)  # twice (N, 3, H, W) RGB in [0, 1] -> (N,)
    distance = fid.gathered(batches_of_restored).distance(fid.gathered(batches_of_truth))
"""

from revisage.lab.metrics.metric import Metric, MetricSpec, describe
from revisage.lab.metrics.table import METRICS, Entry, load

__all__ = ["METRICS", "Entry", "Metric", "MetricSpec", "describe", "load"]
