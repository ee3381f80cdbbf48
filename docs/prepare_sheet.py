"""Draw docs/pictures/prepare.jpg: what `revisage prepare` keeps and drops of one photo and its copies.

The photo is Eileen Collins by NASA, in the public domain, as shipped with scikit-image.

    python docs/prepare_sheet.py [OUT.jpg]
"""

from __future__ import annotations

import csv
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
import skimage.data

from revisage import zoo
from revisage.faces import Detector
from revisage.image import decode, from_array, save
from revisage.lab.data.landmarks import POINT_COLUMNS
from revisage.lab.data.prepare.photo import PrepareSettings
from revisage.lab.data.prepare.run import prepare

CELL = 192
STRIP = 40


def photos(folder: Path) -> None:
    """The photo, and what becomes of it in people's folders."""
    whole = skimage.data.astronaut()
    for name, pixels in {
        "photo.png": whole,
        "sent.jpg": whole[20:, 10:490],
        "gray.png": np.repeat(cv2.cvtColor(whole, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2),
        "thumbnail.png": cv2.resize(whole, (200, 200), interpolation=cv2.INTER_AREA),
        "shaken.png": cv2.GaussianBlur(whole, (0, 0), 4),
        "edge.png": whole[:, 185:],
        "sky.png": whole[:60, 300:],
    }.items():
        save(from_array(pixels), folder / name, quality=60)


def cell(crop: Path | None, row: dict[str, str], lines: tuple[str, str]) -> np.ndarray:
    """A crop with its landmarks, under two lines of text."""
    picture = np.full((CELL, CELL, 3), 225, np.uint8)
    if crop is not None:
        pixels = decode(crop, isolate=False).pixels
        factor = CELL / pixels.shape[0]
        picture = cv2.resize(pixels, (CELL, CELL), interpolation=cv2.INTER_AREA)
        values = [float(row[name]) * factor for name in POINT_COLUMNS]
        for x, y in zip(values[::2], values[1::2], strict=True):
            cv2.circle(picture, (round(x), round(y)), 3, (0, 220, 90), -1, cv2.LINE_AA)
    strip = np.full((STRIP, CELL, 3), 255, np.uint8)
    for index, line in enumerate(lines):
        cv2.putText(
            strip, line, (5, 15 + 17 * index), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (30, 30, 30), 1, cv2.LINE_AA
        )
    return np.vstack([strip, picture])


def sheet() -> np.ndarray:
    """(H, W, 3) uint8 RGB."""
    cells = []
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder, "photos"), Path(folder, "out")
        photos(source)
        model = zoo.resolve("finder", "auto")
        # The face is 170 pixels wide with its surroundings: too few for the default of 256.
        settings = PrepareSettings(size=192)
        prepare(source, out, Detector(model.path), settings, detector_name=str(model))
        for name in ("faces", "dropped"):
            with (out / f"{name}.csv").open(newline="") as file:
                for row in csv.DictReader(file):
                    crop = out / name / row["file"] if row["file"] else None
                    cells.append(cell(crop, row, (row["source"], row.get("reason") or "kept")))
    while len(cells) % 4:
        cells.append(np.full_like(cells[0], 255))
    return np.vstack([np.hstack(cells[i : i + 4]) for i in range(0, len(cells), 4)])


def main() -> None:
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "pictures" / "prepare.jpg"
    save(from_array(sheet()), out, quality=85)


if __name__ == "__main__":
    main()
