"""A data folder of the detector's training in small: crops on the template, people and backgrounds of
noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from revisage.faces import template
from revisage.lab.data.landmarks import POINT_COLUMNS

NAMES = 60


def noise(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def make(data: Path) -> Path:
    """Fill `data` with faces256, faces256.csv, lfw128 (two pictures a person) and scenes, `NAMES` of each."""
    rng = np.random.default_rng(0)
    rows = [",".join(("file", "split", "scale", "coverage", *POINT_COLUMNS))]
    points = ",".join(f"{value:.2f}" for value in template(256).ravel())
    for part in ("faces256", "scenes"):
        (data / part).mkdir()
    for index in range(NAMES):
        Image.fromarray(noise(rng, 256, 256)).save(data / "faces256" / f"f{index}.bmp")
        rows.append(f"f{index}.bmp,train,1.0,1.0,{points}")
        person = data / "lfw128" / f"Person_{index}"
        person.mkdir(parents=True)
        for picture in range(2):
            Image.fromarray(noise(rng, 128, 128)).save(person / f"Person_{index}_{picture:04d}.png")
        Image.fromarray(noise(rng, 120, 180)).save(data / "scenes" / f"s{index}.png")
    (data / "faces256.csv").write_text("\n".join(rows) + "\n")
    return data
