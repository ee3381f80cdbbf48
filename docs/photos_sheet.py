"""Draw a sheet of a folder of photos, each before and after `revisage restore`: the whole photo and, where
one was restored, its largest face.

    python docs/photos_sheet.py PHOTOS OUT.jpg [--side 300] [--columns 3] [--scale 1]

All photos are shown, in the order of their names.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from revisage import Restorer
from revisage.faces import align, estimate
from revisage.image import decode, from_array, save

GAP = 6


def boxed(pixels: np.ndarray, side: int) -> np.ndarray:
    """(H, W, 3) scaled to fit into (side, side, 3), on white."""
    factor = side / max(pixels.shape[:2])
    size = tuple(max(1, round(length * factor)) for length in pixels.shape[1::-1])
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)
    box = np.full((side, side, 3), 255, np.uint8)
    top, left = (side - small.shape[0]) // 2, (side - small.shape[1]) // 2
    box[top : top + small.shape[0], left : left + small.shape[1]] = small
    return box


def as_bytes(pixels: np.ndarray) -> np.ndarray:
    return pixels if pixels.dtype == np.uint8 else (pixels >> 8).astype(np.uint8)


def row(path: Path, restorer: Restorer, side: int, scale: str) -> np.ndarray:
    """(side, 4 side, 3): the photo before and after, its largest restored face before and after."""
    photo = decode(path)
    result = restorer.restore(path, scale=scale)
    before, after = (as_bytes(picture.pixels) for picture in (photo, result.photo))
    cells = [boxed(before, side), boxed(after, side)]
    restored = [face for face in result.faces if face.outcome == "restored"]
    if restored:
        points = np.array(restored[0].landmarks, np.float32)  # the largest comes first
        for pixels, factor in ((before, 1), (after, result.scale)):
            centred = (points + 0.5) * factor - 0.5
            cells.append(align(pixels, estimate(centred, side), side))
    else:
        cells += [np.full((side, side, 3), 235, np.uint8)] * 2
    return np.hstack(cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--side", type=int, default=300)
    parser.add_argument("--columns", type=int, default=3)
    parser.add_argument("--scale", default="1")
    options = parser.parse_args()
    restorer = Restorer()
    rows = []
    for path in sorted(path for path in options.photos.iterdir() if path.is_file()):
        rows.append(row(path, restorer, options.side, options.scale))
        print(path.name, flush=True)
    blank = np.full_like(rows[0], 255)
    rows += [blank] * (-len(rows) % options.columns)
    gap = np.full((options.side, GAP, 3), 255, np.uint8)
    lines = [
        np.hstack([part for cell in rows[i : i + options.columns] for part in (cell, gap)])
        for i in range(0, len(rows), options.columns)
    ]
    save(from_array(np.vstack(lines)), options.out, quality=85)


if __name__ == "__main__":
    main()
