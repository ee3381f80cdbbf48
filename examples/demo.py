"""Age a sample photo with the project's own recipe, restore it, and lay before and after side by side."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from revisage import Restorer
from revisage.lab.degrade import RECIPES

HERE = Path(__file__).parent


BOX = (96, 16, 416, 336)
"""Head and shoulders in the portrait: left, top, right, bottom."""


def age(photo: Image.Image, seed: int) -> Image.Image:
    """A scratched and faded copy, as it might come out of a box."""
    recipe = RECIPES["old-photo"]
    clean = np.asarray(photo, np.float32) / 255
    low = recipe.apply(clean, recipe.sample(np.random.default_rng(seed)))
    return Image.fromarray(np.rint(low * 255).astype(np.uint8))


def side_by_side(before: Image.Image, after: Image.Image) -> Image.Image:
    """Both at the size of `after`, with a thin white line between them."""
    sheet = Image.new("RGB", (2 * after.width + 8, after.height), "white")
    sheet.paste(before.resize(after.size, Image.Resampling.NEAREST), (0, 0))
    sheet.paste(after, (after.width + 8, 0))
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder for the pictures")
    parser.add_argument("--seed", type=int, default=42, help="which life the photo has had")
    parser.add_argument("--picture", type=Path, help="where before and after go; a file in --out by default")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    before = age(Image.open(HERE / "portrait.jpg").convert("RGB").crop(BOX), options.seed)
    before.save(options.out / "old.png")
    result = Restorer().restore(options.out / "old.png", scale=2)
    result.save(options.out / "old.restored.png")
    picture = options.picture or options.out / "before_after.png"
    side_by_side(before, result.image.convert("RGB")).save(picture, quality=90)
    faces = ", ".join(face.outcome for face in result.faces) or "none found"
    print(f"faces: {faces}")
    print(f"before and after: {picture.resolve()}")


if __name__ == "__main__":
    main()
