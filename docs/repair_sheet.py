"""Draw a sheet of a folder of photos with `--repair`: each as it was, what is marked (orange: also by light),
and repaired. Neither faces nor the rest are restored.

    python docs/repair_sheet.py PHOTOS OUT.jpg [--side 420] [--columns 2]

Photos in which nothing is marked are left out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from photos_sheet import as_bytes, boxed

from revisage import Restorer
from revisage.image import decode, from_array, save

FULL, LIGHT = (230, 30, 30), (250, 160, 0)


def row(path: Path, restorer: Restorer, side: int) -> np.ndarray | None:
    """(side, 3 side, 3): the photo, its marks, and repaired; None where nothing is marked."""
    full, light = (restorer.restore(path, scale=1, repair=level) for level in ("full", "light"))
    if not full.repair.mask.any():
        return None
    before = as_bytes(decode(path).pixels)
    marks = before // 2 + 100
    marks[full.repair.mask] = FULL
    marks[light.repair.mask & full.repair.mask] = LIGHT
    return np.hstack([boxed(picture, side) for picture in (before, marks, as_bytes(full.pixels))])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--side", type=int, default=420)
    parser.add_argument("--columns", type=int, default=2)
    options = parser.parse_args()
    restorer = Restorer(model="none", scene="none")
    rows = []
    for path in sorted(path for path in options.photos.iterdir() if path.is_file()):
        made = row(path, restorer, options.side)
        rows += [] if made is None else [made]
        print(path.name, "nothing marked" if made is None else "", flush=True)
    rows += [np.full_like(rows[0], 255)] * (-len(rows) % options.columns)
    lines = [np.hstack(rows[i : i + options.columns]) for i in range(0, len(rows), options.columns)]
    save(from_array(np.vstack(lines)), options.out, quality=88)


if __name__ == "__main__":
    main()
