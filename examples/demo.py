"""Age a sample photo with the project's own recipe, restore it, and lay before and after side by side,
the whole at 100 % and the face. Tells time and memory, and the angle between the two faces."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import psutil
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


def at_the_face(picture: Image.Image, box: tuple[float, float, float, float], scale: float) -> Image.Image:
    """A face at 512 pixels; `box` is x, y, width, height in the photo, of `scale` times whose size it is."""
    x, y, width, height = (scale * value for value in box)
    side = 1.5 * max(width, height)
    left, top = x + (width - side) / 2, y + (height - side) / 2
    return picture.resize((512, 512), Image.Resampling.BICUBIC, (left, top, left + side, top + side))


def peak_mib() -> float:
    """The most memory that this process has had so far."""
    if sys.platform == "win32":
        return float(psutil.Process().memory_info().peak_wset) / 2**20
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


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
    print(f"time      {sum(result.seconds.values()):.1f} s, with loading the models")
    print(f"memory    {peak_mib():,.0f} MiB at most")
    print(f"before and after, at 100 %: {picture.resolve()}")
    for face in result.faces:
        shown = [
            at_the_face(before, face.box, 1),
            at_the_face(result.image.convert("RGB"), face.box, result.scale),
        ]
        path = options.out / f"face{face.number}.png"
        side_by_side(*shown).save(path)
        angle = "unknown" if face.identity_degrees is None else f"{face.identity_degrees:.0f} degrees"
        print(f"identity  face {face.number} {face.outcome}, {angle} from the old photo's: {path.resolve()}")


if __name__ == "__main__":
    main()
