"""Draw a sheet of a folder of photos with `--repair`: each as it was, what is marked (orange: also by light),
and repaired. Neither faces nor the rest are restored.

    python docs/repair_sheet.py PHOTOS OUT.jpg [--side 420] [--columns 2] [--most N]

Photos in which nothing is marked are left out; with --most the N in which most is marked stay.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from photos_sheet import as_bytes, boxed

from revisage import Restorer
from revisage.image import decode, from_array, save

FULL, LIGHT = (230, 30, 30), (250, 160, 0)


def row(path: Path, restorer: Restorer, side: int) -> tuple[float, np.ndarray]:
    """What share is marked, and (side, 3 side, 3): the photo, its marks, and repaired."""
    full, light = (restorer.restore(path, scale=1, repair=level) for level in ("full", "light"))
    before = as_bytes(decode(path).pixels)
    marks = before // 2 + 100
    marks[full.repair.mask] = FULL
    marks[light.repair.mask & full.repair.mask] = LIGHT
    shown = [boxed(picture, side) for picture in (before, marks, as_bytes(full.pixels))]
    return full.repair.share, np.hstack(shown)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--side", type=int, default=420)
    parser.add_argument("--columns", type=int, default=2)
    parser.add_argument("--most", type=int)
    options = parser.parse_args()
    restorer = Restorer(model="none", scene="none")
    made: list[tuple[float, np.ndarray]] = []
    for path in sorted(path for path in options.photos.iterdir() if path.is_file()):
        made.append(row(path, restorer, options.side))
        print(path.name, f"{made[-1][0]:.2%}", flush=True)
    made = [one for one in made if one[0]]
    if options.most:
        made = sorted(made, key=lambda one: -one[0])[: options.most]
    rows = [picture for _, picture in made]
    rows += [np.full_like(rows[0], 255)] * (-len(rows) % options.columns)
    lines = [np.hstack(rows[i : i + options.columns]) for i in range(0, len(rows), options.columns)]
    save(from_array(np.vstack(lines)), options.out, quality=88)


if __name__ == "__main__":
    main()
