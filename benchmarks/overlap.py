"""What overlapping one photo's decoding and encoding with another's models gains: `--workers` in one run.

    python benchmarks/overlap.py [--photos 8] [--megapixels 1] [--format jpg|png|tif] [--workers 1 2 3]
                                 [--rounds 3] [--scale 1] [--scene auto|none]

Every round restores the same folder once with each number of workers, in turns, so that drift meets all
alike; ratios are of pairs within a round. The outputs are compared byte for byte. Memory is not measured
here (`memory.py`): each photo in hand takes its own.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from memory import make_photo

from revisage import Restorer
from revisage.batch import plan_photos, restore_all
from revisage.restore import RestoreOptions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--photos", type=int, default=8)
    parser.add_argument("--megapixels", type=float, default=1)
    parser.add_argument("--format", default="jpg", choices=["jpg", "png", "tif"])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", default="1", choices=["auto", "1", "2", "4"])
    parser.add_argument("--scene", default="auto")
    arguments = parser.parse_args()
    restorer = Restorer(scene=arguments.scene)
    restorer.check()
    options = RestoreOptions(scale=arguments.scale)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "in").mkdir()
        for number in range(arguments.photos):
            make_photo(root / "in" / f"{number}.{arguments.format}", arguments.megapixels)
        seconds: dict[int, list[float]] = {workers: [] for workers in arguments.workers}
        stages: dict[str, float] = {}
        for number in range(arguments.rounds + 1):  # the first warms up
            for workers in arguments.workers:
                jobs = plan_photos([root / "in"], root / str(workers))
                start = time.perf_counter()
                outcomes = list(restore_all(jobs, restorer, options, workers=workers))
                if number:
                    seconds[workers].append(time.perf_counter() - start)
                assert all(outcome.error is None for outcome in outcomes)
                if workers == arguments.workers[0]:
                    for outcome in outcomes:
                        for stage, value in outcome.entry["seconds"].items():
                            stages[stage] = stages.get(stage, 0.0) + value
        first, *others = arguments.workers
        for workers in others:
            for path in sorted((root / str(first)).iterdir()):
                assert path.read_bytes() == (root / str(workers) / path.name).read_bytes(), path.name
    total = sum(stages.values())
    print(
        f"{arguments.photos} photos of {arguments.megapixels:g} megapixels, {arguments.format}, scale "
        f"{arguments.scale}, scene model {arguments.scene}; {psutil.cpu_count()} cores; outputs equal"
    )
    print("share of time: " + ", ".join(f"{stage} {value / total:.0%}" for stage, value in stages.items()))
    base = np.array(seconds[first])
    for workers, values in seconds.items():
        ratio = np.median(base / np.array(values))
        print(f"{workers} workers: median {np.median(values):.2f} s, {ratio:.2f} times as fast as {first}")


if __name__ == "__main__":
    main()
