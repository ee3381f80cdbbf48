"""Small pictures and methods whose outcome is known, for tests of evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIDE = 32


def picture(seed: int, side: int = SIDE) -> np.ndarray:
    """(side, side, 3) uint8: smooth shading with some noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side
    base = np.stack([x, y, (x + y) / 2], axis=2) * 150 + rng.integers(20, 60)
    return np.clip(base + rng.normal(0, 12, (side, side, 3)), 0, 255).astype(np.uint8)


def write_pictures(folder: Path, count: int, side: int = SIDE) -> Path:
    """Pictures 0.png, 1.png, ... and, of four, the last one in a folder below."""
    for seed in range(count):
        path = folder / ("below" if seed % 4 == 3 else "") / f"{seed}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(seed, side)).save(path)
    return folder


class Brighter:
    """Adds a constant and counts its runs; after `dies_after` of them it fails as a killed process does."""

    def __init__(self, add: int, dies_after: int | None = None) -> None:
        self.add, self.dies_after, self.runs = add, dies_after, 0
        self.identity: Any = {"brighter": add}

    def run(self, name: str, picture: np.ndarray, scale: int) -> np.ndarray:
        if self.runs == self.dies_after:
            raise KeyboardInterrupt
        self.runs += 1
        large = picture.repeat(scale, axis=0).repeat(scale, axis=1)
        return np.clip(large.astype(int) + self.add, 0, 255).astype(np.uint8)


def brighter(*adds: int) -> dict[str, Any]:
    """Methods "+1", "+2" and so on."""
    return {f"+{add}": Brighter(add) for add in adds}
