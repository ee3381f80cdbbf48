"""Pairs a second and memory of the metrics that need no download beyond two small files.

    python benchmarks/metrics.py --weights ../shared/models [--pairs 1000] [--batch 8]

Pairs of 256 px, made up (smooth fields with noise) so that no data set is needed and reading files does not
count, go through psnr, ssim, ms_ssim, niqe and degrees. Prints milliseconds a pair of each, the whole time,
and the peak of memory after a tenth of the pairs and at the end: it must not grow.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from revisage.lab.metrics import load

NAMES = ("psnr", "ssim", "ms_ssim", "niqe", "degrees")
SIZE = 256


def pairs(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(count, 3, 256, 256) twice: noisy, and clean with natural-like detail at several scales."""
    generator = torch.Generator().manual_seed(seed)
    clean = torch.zeros(count, 3, SIZE, SIZE)
    for side in (8, 32, 128, SIZE):
        field = torch.randn(count, 3, side, side, generator=generator) * (8 / side)
        clean += F.interpolate(field, size=(SIZE, SIZE), mode="bilinear")
    clean = torch.sigmoid(clean)
    return (clean + 0.05 * torch.randn(clean.shape, generator=generator)).clamp(0, 1), clean


def peak() -> float:
    """Peak resident memory of this process in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", type=Path, help="a folder; without it, where `models pull` puts them")
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=8)
    options = parser.parse_args()
    metrics = load(NAMES, options.weights)
    seconds, totals = dict.fromkeys(NAMES, 0.0), dict.fromkeys(NAMES, 0.0)
    processor = time.process_time()
    done, early = 0, 0.0
    while done < options.pairs:
        count = min(options.batch, options.pairs - done)
        restored, truth = pairs(count, seed=done)
        for metric in metrics:
            start = time.perf_counter()
            totals[metric.spec.name] += float(metric(restored, truth).sum())
            seconds[metric.spec.name] += time.perf_counter() - start
        done += count
        if not early and done >= options.pairs / 10:
            early = peak()
    print(f"{options.pairs} pairs, batches of {options.batch}, {torch.get_num_threads()} threads\n")
    print("| metric | ms a pair | result |\n|---|---|---|")
    for name in NAMES:
        print(f"| {name} | {1000 * seconds[name] / options.pairs:.1f} | {totals[name] / options.pairs:.4f} |")
    print(
        f"\n{sum(seconds.values()):.1f} s in all ({time.process_time() - processor:.1f} s of processor time,"
    )
    print(f"with making the pairs); peak memory {early:.0f} MiB after a tenth, {peak():.0f} MiB at the end")


if __name__ == "__main__":
    main()
