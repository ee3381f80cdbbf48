"""A large photo and a portrait through the whole of Revisage: seconds by stage and the most memory held.

    python benchmarks/photo.py [--precision auto|fp32] [--rounds 3]

12 megapixels (4000 x 3000) with some faces at `--scale 1`, and a portrait of 640 x 800 at `--scale 2`, made
of the sample photo. Each is restored once to warm up; then medians of `rounds`. `DNNL_MAX_CPU_ISA=AVX2` with
`--precision fp32` shows about what a machine without AVX-512 needs.
"""

from __future__ import annotations

import argparse
import resource
import statistics
from pathlib import Path

import cv2
import numpy as np

from revisage import Restorer
from revisage.image import decode

SAMPLE = Path(__file__).parents[1] / "examples" / "portrait.jpg"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    sample = decode(SAMPLE, isolate=False).pixels
    tile = cv2.resize(sample, (800, 1000), interpolation=cv2.INTER_AREA)
    large = np.ascontiguousarray(np.tile(tile, (3, 5, 1)))
    portrait = cv2.resize(sample, (640, 800), interpolation=cv2.INTER_AREA)
    restorer = Restorer(precision=options.precision)
    for name, photo, scale in (("640 x 800, x2", portrait, 2), ("4000 x 3000, x1", large, 1)):
        faces = len(restorer.restore(photo, scale=scale).faces)
        runs = [restorer.restore(photo, scale=scale).seconds for _ in range(options.rounds)]
        stages = {stage: statistics.median(run[stage] for run in runs) for stage in runs[0]}
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        told = ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in stages.items() if seconds)
        print(f"{name}: {sum(stages.values()):.2f} s ({told}), {faces} faces, {memory} MiB")


if __name__ == "__main__":
    main()
