"""Draw docs/pictures/degradations.jpg: every recipe on one photo, then the parts of the second-order and the
old-photo recipe.

The photo is Eileen Collins by NASA, in the public domain, as shipped with scikit-image.

    python docs/degradation_sheet.py [OUT.jpg]
"""

import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import skimage.data

from revisage.lab.degrade import RECIPES, Step
from revisage.lab.degrade.ageing import DyeFading, Fading, Grain, Halftone, PaperTexture, Toning, Yellowing
from revisage.lab.degrade.camera import scaled
from revisage.lab.degrade.colour import Gray
from revisage.lab.degrade.damage import Crease, Dust, Hairs, Scratches, Stains
from revisage.lab.degrade.esrgan import SecondOrder
from revisage.lab.degrade.kernels import KernelBlur
from revisage.lab.degrade.marks import Fingerprint, Flakes, Mould, Tape, Tear

CELL = 224
COLUMNS = 6
STRIP = 24
STAGE_SEEDS = (1, 3)
GRAY_PARTS = (Scratches, Dust, Hairs, Crease, Grain, PaperTexture)
MARK_PARTS = (Tear, Flakes, Mould, Fingerprint, Tape, Crease)
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


# One of each kind, as large as they are drawn.
KERNELS = (
    KernelBlur("gaussian", 21, 3.0, 3.0),
    KernelBlur("gaussian", 21, 3.0, 1.0, angle=0.7),
    KernelBlur("generalised", 21, 3.0, 3.0, beta=0.5),
    KernelBlur("generalised", 21, 3.0, 1.0, angle=0.7, beta=4.0),
    KernelBlur("plateau", 21, 3.0, 3.0, beta=2.0),
    KernelBlur("sinc", 21, cutoff=1.0),
)


def stages(drawn: SecondOrder, photo: np.ndarray) -> list[np.ndarray]:
    """The photo on its way through both orders."""
    height, width = photo.shape[:2]
    assert drawn.first.blur is not None
    cells = [photo, drawn.first.blur.apply(photo), drawn.first.apply(photo, height, width)]
    cells.append(drawn.first_jpeg.apply(cells[-1]))
    low = scaled(height, 1 / drawn.scale), scaled(width, 1 / drawn.scale)
    cells.append(drawn.second.apply(cells[-1], *low))
    return [*cells, drawn.reduce(photo)]


def shown(kernel: np.ndarray) -> np.ndarray:
    """A kernel as a picture: gray is zero, white its peak; sinc kernels have negative rings."""
    gray = np.clip(0.5 + 0.5 * kernel / kernel.max(), 0, 1).astype(np.float32)
    return cv2.resize(gray, (CELL, CELL), interpolation=cv2.INTER_NEAREST)[..., None].repeat(3, axis=2)


def sheet() -> np.ndarray:
    """All rows, float32 RGB in [0, 1]."""
    photo = clean()
    gray = Gray().apply(photo)
    rows = []
    for name, recipe in RECIPES.items():
        cells = [drawn(recipe.sample, photo, seed) for seed in range(1, COLUMNS + 1)]
        rows.append(titled(f"recipe {name}, seeds 1 to {COLUMNS}", cells))
    names = ", ".join(kernel.kind for kernel in KERNELS)
    rows.append(titled(f"blur kernels: {names}", [shown(kernel.kernel()) for kernel in KERNELS]))
    text = (
        "second order, seed {}: clean; first blur; with resize and noise; JPEG; second order; at the low size"
    )
    for seed in STAGE_SEEDS:
        rows.append(titled(text.format(seed), stages(SecondOrder.sample(np.random.default_rng(seed)), photo)))
    for parts, picture, strength in (
        (GRAY_PARTS, gray, 1.5),
        (MARK_PARTS, gray, 1.5),
        (COLOUR_PARTS, photo, 1.0),
    ):
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
