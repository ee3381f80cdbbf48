"""Peak memory and time of one photo with five faces, from 4 to 50 megapixels, at scale 1 and 2.

    python benchmarks/memory.py [--megapixels 4 12 24 50] [--scale 1 2 4] [--format jpg|png]
                                [--model NAME] [--scene NAME] [--precision P] [--memory MIB]

The photo holds five copies of NASA's public-domain portrait from scikit-image. Every run is a process of its
own, from decoding the file to the written result. Peaks are of that process and of the children that decode
untrusted files together, sampled every 10 ms; the column of a stage is the peak while it ran. The last lines
say, by least squares, how many bytes each further pixel of the photo costs. The program fails when 12
megapixels pass 1 GiB at scale 1 or 2 GiB at scale 2, or a face is lost.
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
import numpy as np
import psutil
from PIL import Image
from skimage.data import astronaut

LIMITS = {(12, 1): 1024, (12, 2): 2048}
SAMPLE_SECONDS = 0.01
STAGES = ("decode", "find", "scene", "faces", "encode")

WORKER = """
import json, sys, time
from revisage import Restorer
model, scene, precision, memory, scale, source, target = sys.argv[1:]
begun = {"decode": time.time()}
def mark(stage):
    # A stage begins where the one before it ends: at the first or last word of either.
    following = {"decode": "find", "find": "scene"}.get(stage.name)
    if following or stage.name == "faces":
        begun.setdefault(following or "faces", time.time())
settings = {"memory": int(memory)} if memory != "auto" else {}
restorer = Restorer(model=model, scene=scene, precision=precision, **settings)
result = restorer.restore(source, scale=scale, progress=mark)
begun["encode"] = time.time()
result.save(target, overwrite=True)
print(json.dumps({"begun": begun, "ended": time.time(), "entry": result.entry()}))
"""


def make_photo(path: Path, megapixels: float) -> None:
    """A 4:3 photo with the portrait five times, sizes in proportion, over a blurred enlargement of itself."""
    portrait = astronaut()
    unit = (megapixels / 12) ** 0.5
    width, height = int(4000 * unit), int(3000 * unit)  # 50 must not pass the limit of 50,000,000
    photo = cv2.resize(cv2.GaussianBlur(portrait, (0, 0), 5), (width, height), interpolation=cv2.INTER_LINEAR)
    for number in range(5):
        side = round((512 + 128 * number) * unit)
        copy = cv2.resize(portrait, (side, side), interpolation=cv2.INTER_CUBIC)
        left, top = round((40 + 1300 * (number % 3)) * unit), round((100 + 1500 * (number // 3)) * unit)
        photo[top : top + side, left : left + side] = copy
    Image.fromarray(photo).save(path, quality=95)


def measure(settings: list[str], scale: int, source: Path, target: Path) -> dict[str, object]:
    """One restoration in a process of its own.

    `settings` is face model, scene model, precision, memory. Adds to the worker's figures "peaks": bytes of
    it and its children, by stage.
    """
    command = [sys.executable, "-c", WORKER, *settings, str(scale), str(source), str(target)]
    samples: list[tuple[float, int]] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        root = psutil.Process(process.pid)
        while process.poll() is None:
            samples.append((time.time(), _resident(root)))
            time.sleep(SAMPLE_SECONDS)
        assert process.stdout is not None
        output = process.stdout.read()
    if process.returncode != 0:
        sys.exit(f"the restoring process ended with {process.returncode}")
    run = json.loads(output)
    starts = [run["begun"].get(stage) for stage in STAGES]
    ends = [*starts[1:], run["ended"]]
    return run | {
        "peaks": {
            stage: max((size for at, size in samples if start <= at <= end), default=0)
            for stage, start, end in zip(STAGES, starts, ends, strict=True)
        }
    }


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
    parser.add_argument("--megapixels", type=int, nargs="+", default=[4, 12, 24, 50])
    parser.add_argument("--scale", type=int, nargs="+", default=[1, 2], choices=[1, 2, 4])
    parser.add_argument("--format", default="jpg")
    parser.add_argument("--model", default="auto")
    parser.add_argument("--scene", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--memory", default="auto")
    arguments = parser.parse_args()
    settings = [arguments.model, arguments.scene, arguments.precision, arguments.memory]
    print(f"{platform.processor() or platform.machine()}, {psutil.cpu_count()} cores, {platform.platform()}")
    print("| scale | megapixels | s | " + " | ".join(STAGES) + " | peak MiB | faces |")
    print("|---" * (len(STAGES) + 5) + "|")
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        for scale in arguments.scale:
            peaks = []
            for megapixels in arguments.megapixels:
                source = Path(folder) / f"{megapixels}.{arguments.format}"
                if not source.exists():
                    make_photo(source, megapixels)
                run = measure(settings, scale, source, Path(folder) / f"out.{arguments.format}")
                entry, begun = run["entry"], run["begun"]
                restored = sum(face["outcome"] == "restored" for face in entry["faces"])
                by_stage = [f"{run['peaks'][stage] / 2**20:.0f}" for stage in STAGES]
                peak = max(run["peaks"].values())
                seconds = run["ended"] - begun["decode"]
                print(
                    f"| {scale} | {megapixels} | {seconds:.1f} | {' | '.join(by_stage)} "
                    f"| {peak / 2**20:.0f} | {restored} of {len(entry['faces'])} faces |",
                    flush=True,
                )
                failed |= restored < len(entry["faces"])
                failed |= peak > LIMITS.get((megapixels, scale), 1 << 20) * 2**20
                peaks.append([run["peaks"][stage] for stage in STAGES] + [peak])
            if len(peaks) > 1:
                slopes = np.polyfit(np.array(arguments.megapixels) * 1e6, np.array(peaks), 1)[0]
                print(
                    f"scale {scale}, bytes per further pixel: "
                    + ", ".join(f"{n} {v:.1f}" for n, v in zip([*STAGES, "peak"], slopes, strict=True))
                )
    sys.exit("over the limit, or a face was lost" if failed else 0)


if __name__ == "__main__":
    main()
