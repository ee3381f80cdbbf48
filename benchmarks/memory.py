"""Time and peak memory of one 12-megapixel photo with five faces, at scale 1 and 2.

    python benchmarks/memory.py [--scale 1 2 4] [--model NAME] [--scene NAME] [--precision P]

The photo holds five copies of NASA's public-domain portrait from scikit-image. Every run is a process of its
own, from decoding the JPEG to the written result. Two peaks are printed: of the restoring process alone
(getrusage), and of it and the children that decode untrusted files together, sampled every 20 ms. The
targets are 1 GiB at scale 1 and 2 GiB at scale 2.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import psutil
from PIL import Image
from skimage.data import astronaut

WIDTH, HEIGHT = 4000, 3000
LIMITS = {1: 1024, 2: 2048}
SAMPLE_SECONDS = 0.02

WORKER = """
import json, resource, sys, time
start = time.perf_counter()
from revisage import Restorer
model, scene, precision, scale, source, target = sys.argv[1:]
result = Restorer(model, scene, precision=precision).restore(source, scale=scale)
result.save(target)
entry = result.entry()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(json.dumps({"seconds": time.perf_counter() - start, "peak": peak, "entry": entry}))
"""


def make_photo(path: Path) -> None:
    """A 4000 x 3000 JPEG with the portrait five times over a blurred enlargement of itself."""
    portrait = astronaut()
    photo = cv2.GaussianBlur(
        cv2.resize(portrait, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR), (0, 0), 40
    )
    for number in range(5):
        side = 512 + 128 * number
        copy = cv2.resize(portrait, (side, side), interpolation=cv2.INTER_CUBIC)
        left, top = 40 + 1300 * (number % 3), 100 + 1500 * (number // 3)
        photo[top : top + side, left : left + side] = copy
    Image.fromarray(photo).save(path, quality=95)


def measure(models: list[str], scale: int, source: Path, target: Path) -> dict[str, object]:
    """One restoration in a process of its own.

    `models` is face model, scene model, precision. Adds to the worker's figures "family", the sampled peak of
    it and its children in bytes.
    """
    command = [sys.executable, "-c", WORKER, *models, str(scale), str(source), str(target)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        family, root = 0, psutil.Process(process.pid)
        while process.poll() is None:
            family = max(family, _resident(root))
            time.sleep(SAMPLE_SECONDS)
        assert process.stdout is not None
        output = process.stdout.read()
    if process.returncode != 0:
        sys.exit(f"the restoring process ended with {process.returncode}")
    return json.loads(output) | {"family": family}


def _resident(root: psutil.Process) -> int:
    total = 0
    try:
        for process in [root, *root.children(recursive=True)]:
            total += process.memory_info().rss
    except psutil.NoSuchProcess:
        pass
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--scale", type=int, nargs="+", default=[1, 2], choices=[1, 2, 4])
    parser.add_argument("--model", default="auto")
    parser.add_argument("--scene", default="auto")
    parser.add_argument("--precision", default="auto")
    arguments = parser.parse_args()
    models = [arguments.model, arguments.scene, arguments.precision]
    print(f"{platform.processor() or platform.machine()}, {psutil.cpu_count()} cores, {platform.platform()}")
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "five.jpg"
        make_photo(source)
        for scale in arguments.scale:
            run = measure(models, scale, source, Path(folder) / f"out{scale}.jpg")
            entry, limit = run["entry"], LIMITS.get(scale)
            restored = sum(face["outcome"] == "restored" for face in entry["faces"])
            faces, runtime = len(entry["faces"]), entry["runtime"]
            stages = ", ".join(f"{name} {seconds:.1f}" for name, seconds in entry["seconds"].items())
            print(
                f"scale {scale}: {run['seconds']:.1f} s ({stages}); {restored} of {faces} faces; "
                f"{entry['background']}; {runtime['backend']} {runtime['precision']}; "
                f"peak {run['peak'] / 2**20:.0f} MiB, with children {run['family'] / 2**20:.0f} MiB"
                + (f" (limit {limit} MiB)" if limit else "")
            )
            failed |= limit is not None and max(run["peak"], run["family"]) > limit * 2**20
    sys.exit("over the limit" if failed else 0)


if __name__ == "__main__":
    main()
