"""Draw docs/pictures/degradations.jpg: every recipe on one photo, then every part of the old-photo recipe.

The photo is Eileen Collins by NASA, in the public domain, as shipped with scikit-image.

    python docs/degradation_sheet.py [OUT.jpg]
"""

import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import skimage.data

from revisage.degrade import RECIPES, Step
from revisage.degrade.ageing import DyeFading, Fading, Grain, Halftone, PaperTexture, Toning, Yellowing
from revisage.degrade.colour import Gray
from revisage.degrade.damage import Crease, Dust, Hairs, Scratches, Stains

CELL = 224
COLUMNS = 6
STRIP = 24
GRAY_PARTS = (Scratches, Dust, Hairs, Crease, Grain, PaperTexture)
COLOUR_PARTS = (DyeFading, Yellowing, Fading, Stains, Toning, Halftone)


def clean() -> np.ndarray:
    """The face and shoulders, (448, 448, 3) float32 RGB in [0, 1]."""
    face = skimage.data.astronaut()[:320, 70:390]
    return cv2.resize(face, (448, 448), interpolation=cv2.INTER_CUBIC).astype(np.float32) / 255


def titled(text: str, cells: list[np.ndarray]) -> np.ndarray:
    """One row of pictures of any size, scaled to cells, under a line of text."""
    strip = np.full((STRIP, CELL * COLUMNS, 3), 255, np.uint8)
    cv2.putText(strip, text, (6, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (30, 30, 30), 1, cv2.LINE_AA)
    row = [cv2.resize(cell, (CELL, CELL), interpolation=cv2.INTER_AREA) for cell in cells]
    return np.concatenate([strip.astype(np.float32) / 255, np.concatenate(row, axis=1)])


def drawn(sample: Callable[[np.random.Generator], Step], image: np.ndarray, seed: int) -> np.ndarray:
    return sample(np.random.default_rng(seed)).apply(image)


def sheet() -> np.ndarray:
    """All rows, float32 RGB in [0, 1]."""
    photo = clean()
    gray = Gray().apply(photo)
    rows = []
    for name, recipe in RECIPES.items():
        cells = [drawn(recipe.sample, photo, seed) for seed in range(1, COLUMNS + 1)]
        rows.append(titled(f"recipe {name}, seeds 1 to {COLUMNS}", cells))
    for parts, picture, strength in ((GRAY_PARTS, gray, 1.5), (COLOUR_PARTS, photo, 1.0)):
        for seed in (17, 21):
            names = ", ".join(part.__name__ for part in parts)
            text = f"parts: {names}, seed {seed}, strength {strength}"
            cells = [part.sample(np.random.default_rng(seed), strength).apply(picture) for part in parts]
            rows.append(titled(text, cells))
    return np.concatenate(rows)


def main() -> None:
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "pictures" / "degradations.jpg"
    out.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.rint(sheet()[..., ::-1] * 255).astype(np.uint8)
    done, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 80])
    assert done
    out.write_bytes(data.tobytes())


if __name__ == "__main__":
    main()
