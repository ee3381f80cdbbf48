"""Processor milliseconds that each degradation recipe takes for one picture, on one thread.

    python benchmarks/degrade.py [--size 256] [--pictures 200]

Training draws a fresh degradation for every sample, so this is the price of a sample. Processor time, because
training usually runs beside it.
"""

import argparse
import platform
import time

import cv2
import numpy as np

from revisage.lab.degrade import RECIPES


def picture(size: int) -> np.ndarray:
    """Smooth shapes with fine texture: the time does not depend on more."""
    rng = np.random.default_rng(0)
    coarse = cv2.resize(rng.random((8, 8, 3), dtype=np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
    fine = rng.random((size, size, 1), dtype=np.float32)
    return np.clip(0.8 * coarse + 0.2 * fine, 0, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=256, help="side of the picture in pixels")
    parser.add_argument("--pictures", type=int, default=200, help="pictures per recipe, after 10 to warm up")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    clean = picture(options.size)
    print(
        f"{options.size} px, {options.pictures} pictures, one thread, Python {platform.python_version()}, "
        f"numpy {np.__version__}, OpenCV {cv2.__version__}"
    )
    print(f"{'recipe':14}{'mean':>8}{'median':>8}{'p95':>8}  ms")
    for name, recipe in RECIPES.items():
        rng = np.random.default_rng(0)
        seconds = []
        for index in range(options.pictures + 10):
            start = time.process_time()
            recipe.apply(clean, recipe.sample(rng))
            if index >= 10:
                seconds.append(time.process_time() - start)
        mean, median, late = np.mean(seconds), np.median(seconds), np.percentile(seconds, 95)
        print(f"{name:14}{mean * 1e3:8.1f}{median * 1e3:8.1f}{late * 1e3:8.1f}")


if __name__ == "__main__":
    main()
