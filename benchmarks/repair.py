"""What `--repair` gives back under drawn marks, by the drawn mask and by the model's, and what it costs.

    python benchmarks/repair.py [--shared ../shared] [--model FILE.onnx] [--count 40]

Held-out photos of `scenes_more` and `scenes`, each with marks of the recipe `marks` (other seeds than the
damage model's training). PSNR over the pixels that the marks changed by more than `MARKED`, mean over the
photos: with the marks, and filled by this program and by OpenCV's two inpaintings, all by the drawn mask;
then by the model's mask, for --repair full and light, over the whole photo too, since a model also marks
what is no damage. Says whether any pixel outside a mask has changed. Then CPU seconds for 12 megapixels.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2
import numpy as np

from revisage import zoo
from revisage.lab.data.pictures import Pictures, find_pictures
from revisage.lab.degrade import RECIPES
from revisage.lab.degrade.recipe import apply
from revisage.lab.train.pictures import to_unit
from revisage.lab.train.tasks.damage import MARKED
from revisage.restore import DamageModel
from revisage.restore.inpaint import inpaint
from revisage.restore.repair import damage_in
from revisage.runtime import open_session

SEED = 20_000  # the training's own are below
WAYS = {
    "inpaint": inpaint,
    "Telea": lambda photo, mask: cv2.inpaint(photo, mask.astype(np.uint8), 3, cv2.INPAINT_TELEA),
    "Navier-Stokes": lambda photo, mask: cv2.inpaint(photo, mask.astype(np.uint8), 3, cv2.INPAINT_NS),
}


def psnr(picture: np.ndarray, clean: np.ndarray, where: np.ndarray | None = None) -> float:
    error = (picture.astype(float) - clean) ** 2
    return float(10 * np.log10(255**2 / max(float(np.mean(error if where is None else error[where])), 1e-9)))


def marked(clean: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(H, W, 3) uint8 -> the same with marks, and where they show, (H, W) bool."""
    unit = to_unit(clean)
    photo = apply(unit, RECIPES["marks"].sample(np.random.default_rng((SEED, seed))))
    return np.rint(photo * 255).astype(np.uint8), np.abs(photo - unit).max(axis=2) > MARKED


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--model", type=Path)
    parser.add_argument("--count", type=int, default=40)
    options = parser.parse_args()
    folders = (options.shared / "data" / name for name in ("scenes_more", "scenes"))
    photos = Pictures([path for folder in folders for path in find_pictures(folder, held=True)])
    model = DamageModel(open_session(options.model or zoo.resolve("damage").path, device="cpu"), "damage")

    rows: dict[str, list[list[float]]] = {}
    for index in range(min(options.count, len(photos))):
        clean = photos[index]
        photo, truth = marked(clean, index)
        if not truth.any():
            continue
        drawn = cv2.dilate(truth.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        fillings = {"with the marks": (photo, drawn)}
        fillings |= {f"{name}, drawn mask": (way(photo, drawn), drawn) for name, way in WAYS.items()}
        for level in ("full", "light"):
            mask = damage_in(photo, model, thin=level == "light")
            fillings[f"--repair {level}"] = inpaint(photo, mask), mask
            mask = damage_in(clean, model, thin=level == "light")
            fillings[f"--repair {level}, photo without marks"] = inpaint(clean, mask), mask
        for name, (filled, mask) in fillings.items():
            source = clean if "without" in name else photo
            assert np.array_equal(filled[~mask], source[~mask]), name
            row = [psnr(filled, clean, truth), psnr(filled, clean), 100 * mask.mean()]
            rows.setdefault(name, []).append(row)

    print("| | PSNR under the marks | of the whole | pixels filled |\n|---|---|---|---|")
    for name, table in rows.items():
        under, whole, share = np.mean(table, axis=0)
        print(f"| {name} | {under:.1f} dB | {whole:.1f} dB | {share:.2f} % |")
    print(f"\n{len(table)} photos; no pixel outside a mask has changed")

    large = cv2.resize(photos[0], (4000, 3000), interpolation=cv2.INTER_CUBIC)
    photo, truth = marked(large, 0)
    begun = time.process_time()
    damage_in(photo, model, thin=False)
    looked = time.process_time()
    inpaint(photo, truth)
    done = time.process_time()
    print(
        f"12 megapixels: {looked - begun:.2f} CPU s to find the damage in {model.session.info.precision}, "
        f"{done - looked:.2f} CPU s to fill {100 * truth.mean():.1f} % of the pixels"
    )


if __name__ == "__main__":
    main()
