"""`--colour revive` on drawn fading and on photos that have not faded.

    python benchmarks/tone.py --shared ../shared [--count 100] [--seed 1]

Colour photographs of BSDS500, which the model has not seen, reduced to 256 pixels; three draws of each by
`revisage.lab.degrade.fadings`: of the dyes, of the print, of both. CIEDE2000 to the photograph, mean over
pixels, before and after with its 95 % bootstrap interval, by how far the draw has moved the picture; the
share that came out worse by more than 0.5; how far the photographs themselves are moved; and milliseconds
for 12 megapixels.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
from skimage.color import deltaE_ciede2000, rgb2lab

from revisage.image import decode, eight_bits
from revisage.lab.degrade import apply, fadings
from revisage.options import Settings
from revisage.restore import InstalledModels
from revisage.restore.colour import is_neutral
from revisage.restore.tone import estimate

SIDE = 256
CLASSES = ((0, 5), (5, 10), (10, 15), (15, 100))


MODEL = InstalledModels(Settings()).tone()


def revived(pixels: np.ndarray) -> np.ndarray:
    canvas = pixels.copy()
    estimate(canvas, MODEL).apply(canvas)
    return canvas


def distance(first: np.ndarray, second: np.ndarray) -> float:
    return float(deltaE_ciede2000(rgb2lab(first), rgb2lab(second)).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    moved, rows = [], []
    for index, path in enumerate(sorted((options.shared / "data/scenes").iterdir())[: options.count]):
        pixels = eight_bits(decode(path).pixels)
        if is_neutral(pixels):
            continue
        factor = SIDE / max(pixels.shape[:2])
        clean = cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        moved.append(distance(clean, revived(clean)))
        for kind, step in enumerate(fadings(np.random.default_rng((options.seed, index)))):
            faded = np.rint(apply(clean.astype(np.float32) / 255, step) * 255).astype(np.uint8)
            rows.append((kind, distance(faded, clean), distance(revived(faded), clean)))
    print(
        f"{len(moved)} photographs that have not faded: moved by {np.mean(moved):.2f}, most {max(moved):.1f}"
    )
    kinds, before, after = np.array(rows).T
    groups = {name: kinds == kind for kind, name in enumerate(("dyes", "print", "both"))}
    groups |= {f"moved by {low} to {high}": (before > low) & (before <= high) for low, high in CLASSES}
    for name, group in groups.items():
        left, came = before[group].mean(), after[group].mean()
        means = np.random.default_rng(0).choice(after[group], (2000, group.sum())).mean(axis=1)
        low, high = np.quantile(means, (0.025, 0.975))
        worse = (after > before + 0.5)[group].mean()
        revived_to = f"{came:5.2f} ({low:.2f}-{high:.2f})"
        print(f"{name:18} n {group.sum():3}  before {left:5.2f}  after {revived_to}  worse {worse:.0%}")
    large = np.random.default_rng(0).integers(60, 200, (3000, 4000, 3), np.uint8)
    start = time.perf_counter()
    revived(large)
    print(f"12 megapixels: {1000 * (time.perf_counter() - start):.0f} ms")


if __name__ == "__main__":
    main()
