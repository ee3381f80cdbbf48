"""What alignment is worth to the face model, and how far the detector's landmarks follow a tilted head.

    python benchmarks/alignment.py [--shared ../shared] [--limit 100]

Held-out faces of faces256, which are aligned. First each is degraded by GFP-GAN's equation, and clean and
degraded picture are turned or shifted together before the model sees the latter; the gain in PSNR over the
model's input is compared with that of the aligned face, picture by picture. Then each picture is tilted,
and the turn of the crop that detector and alignment make of it is compared with the tilt.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from revisage import zoo
from revisage.faces import Detector, estimate
from revisage.image import decode
from revisage.lab.data.pictures import held_out
from revisage.lab.degrade import RECIPES, rng_for
from revisage.lab.evaluate.summary import summarise
from revisage.runtime import Session, open_session

SIZE = 256
MIDDLE = ((SIZE - 1) / 2, (SIZE - 1) / 2)
WAYS = {"as aligned": (0, 0), "turned by 20°": (20, 0), "45°": (45, 0), "90°": (90, 0), "180°": (180, 0)}
WAYS |= {"shifted by a quarter": (0, 64)}
TILTS = (-30, -15, 0, 15, 30)


def moved(picture: np.ndarray, degrees: float, shift: float = 0) -> np.ndarray:
    matrix = cv2.getRotationMatrix2D(MIDDLE, degrees, 1.0)
    matrix[0, 2] += shift
    return cv2.warpAffine(
        picture, matrix, (SIZE, SIZE), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
    ).clip(0, 1)


def psnr(picture: np.ndarray, truth: np.ndarray) -> float:
    """Of the middle, which every turn shows."""
    axis = np.arange(SIZE) - MIDDLE[0]
    disc = np.hypot(axis[:, None], axis[None]) < 0.4 * SIZE
    return float(-10 * np.log10(np.square(picture - truth)[disc].mean()))


def gain(session: Session, low: np.ndarray, clean: np.ndarray) -> float:
    output = session.run(np.ascontiguousarray(low.transpose(2, 0, 1)[None]))[0].transpose(1, 2, 0)
    return psnr(output.clip(0, 1), clean) - psnr(low, clean)


def tilt_seen(detector: Detector, picture: np.ndarray, degrees: float) -> float:
    """Degrees by which the crop of the tilted picture is turned; NaN where no face is found."""
    wide = cv2.copyMakeBorder(picture, *(SIZE // 2,) * 4, cv2.BORDER_REFLECT)
    matrix = cv2.getRotationMatrix2D((SIZE - 0.5, SIZE - 0.5), degrees, 0.6)
    faces = detector.find(cv2.warpAffine(wide, matrix, (2 * SIZE, 2 * SIZE), borderMode=cv2.BORDER_REFLECT))
    if not faces:
        return float("nan")
    turn = estimate(faces[0].landmarks, SIZE)
    return float(np.degrees(np.arctan2(turn[1, 0], turn[0, 0])))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, default=Path(__file__).parents[2] / "shared")
    parser.add_argument("--limit", type=int, default=100)
    options = parser.parse_args()
    folder = options.shared / "data" / "faces256"
    files = [path for path in sorted(folder.iterdir()) if held_out(path.name)][: options.limit]
    pictures = [decode(path, isolate=False).pixels for path in files]
    recipe = RECIPES["gfpgan"]
    session = open_session(zoo.resolve("face", "auto").path, precision="fp32")
    gains = {name: np.empty(len(files)) for name in WAYS}
    for index, (path, picture) in enumerate(zip(files, pictures, strict=True)):
        clean = picture.astype(np.float32) / 255
        low = recipe.apply(clean, recipe.sample(rng_for(0, path.name)))
        for name, (degrees, shift) in WAYS.items():
            gains[name][index] = gain(session, moved(low, degrees, shift), moved(clean, degrees, shift))
    print("| crop | gain dB | against aligned dB |\n|---|---|---|")
    for name, values in gains.items():
        cells = []
        for summary in (summarise(values), summarise(values - gains["as aligned"])):
            assert summary.interval is not None
            cells.append(f"{summary.mean:+.2f} ({summary.interval[0]:+.2f} to {summary.interval[1]:+.2f})")
        print(f"| {name} | {cells[0]} | {cells[1]} |")
    detector = Detector(zoo.resolve("finder", "auto").path)
    print("\n| tilt of the photo | turn of the crop, median | found |\n|---|---|---|")
    for tilt in TILTS:
        seen = np.array([tilt_seen(detector, picture, tilt) for picture in pictures])
        print(f"| {tilt}° | {np.nanmedian(seen):.1f}° | {np.isfinite(seen).sum()} of {len(seen)} |")


if __name__ == "__main__":
    main()
