"""Photos for the tests of `prepare`: textures that a stand-in detector takes for faces that fill them."""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from revisage.faces import Face, template
from revisage.lab.data.prepare.photo import PrepareSettings

SIDE = 96
SETTINGS = PrepareSettings(size=64)


class WholePicture:
    """Takes a picture for a face on the template, one twice as wide for two, a wider one for none."""

    def __init__(self, seconds: float = 0.0, score: float = 0.9) -> None:
        self.seconds, self.score = seconds, score

    def find(self, pixels: np.ndarray) -> list[Face]:
        time.sleep(self.seconds)
        side, width = pixels.shape[:2]
        if width >= 3 * side:
            return []
        found = []
        for left in range(0, width - side + 1, side):
            points = template(side) + np.float32((left, 0))
            found.append(Face((left, 0.0, side, side), points, self.score))
        return found


def texture(seed: int, side: int = SIDE) -> np.ndarray:
    """(side, side, 3) uint8 with detail at every scale, as photos have; another one for every seed."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((side, side, 3), np.float32)
    for cells in (2, 4, 8, 16, 32, 64, 128):
        part = rng.standard_normal((cells, cells, 1)).astype(np.float32)
        picture += cv2.resize(part, (side, side), interpolation=cv2.INTER_CUBIC)[..., None]
    picture += rng.uniform(-0.5, 0.5, 3).astype(np.float32)
    return np.clip(127 + 25 * picture, 0, 255).astype(np.uint8)


def write(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def fill(folder: Path, count: int = 12) -> Path:
    """Good photos in two folders, a strip of two, a blurred one, a copy, one without a face, a broken one."""
    for index in range(count):
        write(folder / "ab"[index % 2] / f"IMG_{index // 2}.png", texture(index))
    (folder / "a" / "IMG_0.png").rename(folder / "a" / "IMG_0")  # a photo by its content
    write(folder / "strip.png", np.hstack([texture(100), texture(101)]))
    write(folder / "soft.png", cv2.GaussianBlur(texture(102), (0, 0), 3))
    write(folder / "copy.png", cv2.resize(texture(0), (72, 72), interpolation=cv2.INTER_AREA))
    write(folder / "wide.png", np.hstack([texture(103)] * 3))
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff no more")
    (folder / "notes.txt").write_text("no photo")
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below and what it holds."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }
