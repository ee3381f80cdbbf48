"""The face model against its input on held-out people, under GFP-GAN's degradation: the table of its card.

    python benchmarks/face_model.py --shared ../shared [--model NAME] [--count 300] [--seed 0] [--light]

Two sets: held-out pictures of faces256 (split by the hash of the name; training leaves out everybody who
looks like one of them), and held-out people of lfw128, found and aligned by the shipped detector; other
people of LFW are among those that the model has been trained on. Recipe "gfpgan"; picture i is degraded with
the seed (seed, i). PSNR in dB and SSIM over RGB at 256 px, 8 bits; identity angle in degrees between
MobileFaceNet embeddings of a picture and the truth; NIQE, of the truth too; Fréchet distance between the
MobileFaceNet embeddings of all pictures and of all truths, which falls with the number of pictures: compare
it at equal n only. 95 % intervals by bootstrap over pictures. At the end the time of one face, which only
means something on an idle machine.

With --light instead what the model does to nearly clean faces of faces256: PSNR of input and output.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from identity import milliseconds

from revisage.faces import Detector, align, estimate
from revisage.image import decode
from revisage.lab.data.pictures import find_pictures
from revisage.lab.degrade import RECIPES
from revisage.lab.degrade.compress import Jpeg
from revisage.lab.metrics import Sources, load
from revisage.lab.metrics.degrees import degrees
from revisage.lab.metrics.psnr import psnr
from revisage.lab.metrics.ssim import ssim
from revisage.lab.train.faces import Embedder
from revisage.runtime import Session, open_session
from revisage.zoo import resolve

SIZE = 256


def faces256(shared: Path, count: int) -> list[np.ndarray]:
    """Held-out aligned faces, (256, 256, 3) uint8."""
    paths = find_pictures(shared / "data" / "faces256", held=True)[:count]
    return [decode(path, isolate=False).pixels for path in paths]


def lfw128(shared: Path, count: int) -> list[np.ndarray]:
    """One aligned picture of each held-out person in whom a face is found, (256, 256, 3) uint8."""
    detector = Detector(resolve("finder").path)
    people = find_pictures(shared / "data" / "lfw128", name=lambda path: path.parent.name, held=True)
    faces = []
    for path in (p for p in people if p.stem.endswith("_0001")):
        picture = decode(path, isolate=False).pixels
        found = detector.find(picture)
        if found:
            faces.append(align(picture, estimate(found[0].landmarks, SIZE), SIZE))
        if len(faces) == count:
            break
    return faces


@torch.no_grad()
def measure(
    faces: list[np.ndarray], session: Session, weights: Path, seed: int
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Per-picture figures of input, output and truth, {"input psnr": (N,), ...}, and their Fréchet distances.

    `weights` is the folder with MobileFaceNet and NIQE's pristine model.
    """
    recipe, sources = RECIPES["gfpgan"], Sources(folder=weights)
    embedder = Embedder(weights / "mobilefacenet_068.ckpt")
    (niqe,) = load(["niqe"], sources)
    distances = {row: load(["frechet_identity"], sources)[0] for row in ("input", "output")}
    figures: dict[str, list[float]] = {}
    for i, face in enumerate(faces):
        clean = face.astype(np.float32) / 255
        low = recipe.apply(clean, recipe.sample(np.random.default_rng((seed, i))))
        low = np.rint(low * 255).astype(np.float32).transpose(2, 0, 1)[None] / 255
        truth = torch.from_numpy(clean.transpose(2, 0, 1)[None].copy())
        identity = embedder(truth * 2 - 1)
        figures.setdefault("truth niqe", []).append(float(niqe.update(truth)))
        for name, picture in (("input", low), ("output", np.rint(session.run(low).clip(0, 1) * 255) / 255)):
            tensor = torch.from_numpy(picture.astype(np.float32))
            figures.setdefault(f"{name} psnr", []).append(float(psnr(tensor, truth)))
            figures.setdefault(f"{name} ssim", []).append(float(ssim(tensor, truth)))
            angle = degrees(embedder(tensor * 2 - 1), identity)
            figures.setdefault(f"{name} degrees", []).append(float(angle))
            figures.setdefault(f"{name} niqe", []).append(float(niqe.update(tensor)))
            distances[name].update(tensor, truth)
    return {key: np.array(values) for key, values in figures.items()}, {
        row: float(distance.result()) for row, distance in distances.items()
    }


LIGHT: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "none": lambda face: face,
    "JPEG, quality 60": lambda face: Jpeg(60).apply(face),
    "half the size, enlarged": lambda face: cv2.resize(
        cv2.resize(face, (SIZE // 2, SIZE // 2), interpolation=cv2.INTER_AREA), (SIZE, SIZE)
    ),
    "blur of 1 px": lambda face: cv2.GaussianBlur(face, (0, 0), 1),
    "blur of 2 px": lambda face: cv2.GaussianBlur(face, (0, 0), 2),
}
"""By what is done to a face, (256, 256, 3) float32 in [0, 1]."""


def light(faces: list[np.ndarray], session: Session) -> None:
    """Print the table of `LIGHT`."""
    print("| damage | n | PSNR dB, input | output |\n|---|---|---|---|")
    for name, damage in LIGHT.items():
        rows = []
        for face in faces:
            clean = face.astype(np.float32) / 255
            low = np.rint(damage(clean) * 255).astype(np.float32).transpose(2, 0, 1)[None] / 255
            truth = torch.from_numpy(clean.transpose(2, 0, 1)[None].copy())
            pictures = (torch.from_numpy(p.astype(np.float32)) for p in (low, session.run(low).clip(0, 1)))
            rows.append([float(psnr(picture, truth)) for picture in pictures])
        cells = []
        for values in np.array(rows).T:
            if not np.isfinite(values).all():  # the input is the truth
                cells.append("")
                continue
            least, greatest = interval(values)
            cells.append(f"{values.mean():.2f} ({least:.2f}–{greatest:.2f})")
        print(f"| {name} | {len(faces)} | {' | '.join(cells)} |")


def interval(values: np.ndarray, draws: int = 2000) -> tuple[float, float]:
    """95 % bootstrap interval of the mean."""
    rng = np.random.default_rng(0)
    means = values[rng.integers(0, len(values), (draws, len(values)))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, default=Path(__file__).parents[2] / "shared")
    parser.add_argument("--model", default="auto")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--light", action="store_true")
    options = parser.parse_args()
    model = resolve("face", options.model)
    session = open_session(model.path, device="cpu")
    print(f"{model.spec.name} {model.spec.version}, {session.info.precision}, seed {options.seed}\n")
    if options.light:
        light(faces256(options.shared, options.count), session)
        return
    print("| set | n | | PSNR dB | SSIM | identity angle | NIQE | Fréchet distance of identity |")
    print("|---|---|---|---|---|---|---|---|")
    for name, faces in (
        ("faces256", faces256(options.shared, options.count)),
        ("lfw128", lfw128(options.shared, options.count)),
    ):
        figures, distances = measure(faces, session, options.shared / "models", options.seed)
        for row in ("input", "output", "truth"):
            cells = []
            for metric, digits in (("psnr", 2), ("ssim", 3), ("degrees", 1), ("niqe", 2)):
                values = figures.get(f"{row} {metric}")
                if values is None:
                    cells.append("")
                    continue
                low, high = interval(values)
                cells.append(f"{values.mean():.{digits}f} ({low:.{digits}f}–{high:.{digits}f})")
            cells.append(f"{distances[row]:.4f}" if row in distances else "")
            print(f"| {name} | {len(faces)} | {row} | {' | '.join(cells)} |")
    print(f"\n{milliseconds(session):.1f} ms a face, {session.info.precision}")


if __name__ == "__main__":
    main()
