"""Face models against their input on held-out people: the tables and the sheet of the model's card.

    python benchmarks/face_model.py [--models NAME-or-FILE ...] [--count 300] [--seed 0] [--sheet FILE.png]
                                    [--sets faces256 lfw128] [--damages NAME ...] [--keep]
                                    [--shared ../shared]

Sets: held-out pictures of faces256 (split by the hash of the name; training leaves out everybody who
looks like one of them), and held-out people of lfw128, found and aligned by the shipped detector.
Recipes: "paper", GFP-GAN's degradation, "hard", the same of a face half as large, and nearly clean faces;
on request "old-photo", against the truth in the tone of the print; picture i is degraded with the seed
(seed, i). With --keep the result has the photo's tone and colours, as restoring gives them without
`--colour`. PSNR in dB and SSIM over RGB at 256 px, 8 bits; LPIPS (SqueezeNet) and the angle of EdgeFace,
both losses since version 4; the identity angle in degrees and the Fréchet distance of embeddings of
MobileFaceNet, which did not train it to know people. A Fréchet distance falls with the number of
pictures: compare it at equal n only. 95 % intervals by bootstrap over pictures; in brackets the change
against the input. At the end the time of one face, which means something on an idle machine only.

--sheet draws the first eight held-out faces under each recipe, unpicked: input, each model, truth.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from identity import milliseconds
from PIL import Image

from revisage.faces import Detector, align, estimate
from revisage.image import decode
from revisage.lab.data.pictures import find_pictures
from revisage.lab.degrade import RECIPES, apply, tone
from revisage.lab.degrade.camera import Jpeg
from revisage.lab.metrics import load
from revisage.restore.colour import keep_face
from revisage.runtime import Session, open_session
from revisage.zoo import resolve

SIZE = 256
OLD = "old-photo"
METRICS = {
    "psnr": ("PSNR dB", 2),
    "ssim": ("SSIM", 3),
    "lpips_squeeze": ("LPIPS", 3),
    "degrees": ("identity angle", 1),
    "degrees_edgeface": ("EdgeFace angle", 1),
    "frechet_identity": ("Fréchet distance of identity", 4),
}
PERCENT = ("lpips_squeeze", "degrees", "frechet_identity")


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


SETS = {"faces256": faces256, "lfw128": lfw128}


def half(face: np.ndarray) -> np.ndarray:
    """Half the size and enlarged again."""
    small = cv2.resize(face, (SIZE // 2, SIZE // 2), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (SIZE, SIZE))


def by_recipe(name: str, seed: int, i: int, face: np.ndarray) -> np.ndarray:
    """Degraded as the recipe draws it for picture i of a seed."""
    return RECIPES[name].apply(face, RECIPES[name].sample(np.random.default_rng((seed, i))))


def damages(seed: int) -> dict[str, Callable[[int, np.ndarray], np.ndarray]]:
    """What is done to picture i, (256, 256, 3) float32 in [0, 1]."""
    return {
        "paper": partial(by_recipe, "paper", seed),
        "hard": partial(by_recipe, "hard", seed),
        "nothing": lambda i, face: face,
        "JPEG, quality 60": lambda i, face: Jpeg(60).apply(face),
        "half the size": lambda i, face: half(face),
        "blur of 1 px": lambda i, face: cv2.GaussianBlur(face, (0, 0), 1),
        OLD: partial(by_recipe, OLD, seed),
    }


def aim(damage: str, seed: int, i: int, face: np.ndarray) -> np.ndarray:
    """Picture i undamaged; where the damage changes the tone, in that tone."""
    if damage != OLD:
        return face
    return apply(face, tone(RECIPES[OLD].sample(np.random.default_rng((seed, i)))))


def tensor(picture: np.ndarray) -> torch.Tensor:
    """(S, S, 3) in [0, 1], rounded to 8 bits, as (1, 3, S, S)."""
    return torch.from_numpy(
        np.rint(picture.clip(0, 1) * 255).astype(np.float32).transpose(2, 0, 1)[None] / 255
    )


def restored(session: Session, low: torch.Tensor, keep: bool = False) -> torch.Tensor:
    """What a model makes of (1, 3, S, S), rounded to 8 bits; with `keep` in the photo's tone."""
    output = session.run(low.numpy())[0].transpose(1, 2, 0)
    if keep:
        output = keep_face(output, low.numpy()[0].transpose(1, 2, 0))
    return tensor(output)


@torch.no_grad()
def measure(
    faces: list[np.ndarray], damage: str, sessions: Mapping[str, Session], options: argparse.Namespace
) -> dict[str, dict[str, np.ndarray]]:
    """By row ("input", each model) and metric: (N,) figures, or (1,) where it is one of all."""
    loaded = dict(zip(METRICS, load(list(METRICS), options.shared / "models"), strict=True))
    degraded = damages(options.seed)[damage]
    of_sets = loaded.pop("frechet_identity")
    found: dict[str, dict[str, list[float]]] = {row: {} for row in ("input", *sessions)}
    truths, kept = of_sets.gather(), {row: of_sets.gather() for row in found}
    for i, face in enumerate(faces):
        clean = face.astype(np.float32) / 255
        truth, low = tensor(aim(damage, options.seed, i, clean)), tensor(degraded(i, clean))
        truths.add(of_sets(truth))
        for row, values in found.items():
            picture = low if row == "input" else restored(sessions[row], low, options.keep)
            kept[row].add(of_sets(picture))
            for name, metric in loaded.items():
                values.setdefault(name, []).append(float(metric(picture, truth)))
    for row, values in found.items():
        values["frechet_identity"] = [kept[row].distance(truths)]
    return {row: {name: np.array(v) for name, v in values.items()} for row, values in found.items()}


def interval(values: np.ndarray, draws: int = 2000) -> tuple[float, float]:
    """95 % bootstrap interval of the mean."""
    rng = np.random.default_rng(0)
    means = values[rng.integers(0, len(values), (draws, len(values)))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def cell(name: str, values: np.ndarray | None, before: np.ndarray | None) -> str:
    """Mean, interval, and the change against the input where that is asked for."""
    if values is None or not np.isfinite(values).all():  # the input is the truth
        return ""
    digits = METRICS[name][1]
    text = f"{values.mean():.{digits}f}"
    if len(values) > 1:
        text += " ({:.{d}f}–{:.{d}f})".format(*interval(values), d=digits)
    if name in PERCENT and before is not None and before.mean() > 1e-4:
        text += f" [{values.mean() / before.mean() - 1:+.0%}]"
    return text


def sheet(faces: list[np.ndarray], sessions: Mapping[str, Session], seed: int) -> Image.Image:
    """A row a face: input, each model, truth; on the left under "paper", on the right under "hard"."""
    rows = []
    for i, face in enumerate(faces):
        row = []
        for recipe in ("paper", "hard"):
            low = tensor(by_recipe(recipe, seed, i, face.astype(np.float32) / 255))
            row += [low, *(restored(session, low) for session in sessions.values()), tensor(face / 255)]
        rows.append(torch.cat(row, dim=3))
    return Image.fromarray((torch.cat(rows, dim=2)[0].permute(1, 2, 0) * 255).round().byte().numpy())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, default=Path(__file__).parents[2] / "shared")
    parser.add_argument("--models", nargs="+", default=["auto"])
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--damages", nargs="+", default=[name for name in damages(0) if name != OLD])
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sheet", type=Path)
    options = parser.parse_args()
    sessions = {}
    for name in options.models:
        model = resolve("face", name)
        session = open_session(model.path, device="cpu")
        sessions[f"{model.spec.name} {model.spec.version}"] = session
    if options.sheet:
        sheet(faces256(options.shared, 8), sessions, options.seed).save(options.sheet)
        return
    print(f"| set | damage | n | | {' | '.join(label for label, _ in METRICS.values())} |")
    print("|---" * (len(METRICS) + 4) + "|")
    for chosen in options.sets:
        faces = SETS[chosen](options.shared, options.count)
        for damage in options.damages:
            figures = measure(faces, damage, sessions, options)
            for row, values in figures.items():
                before = figures["input"] if row in sessions else {}
                cells = [cell(name, values.get(name), before.get(name)) for name in METRICS]
                print(f"| {chosen} | {damage} | {len(faces)} | {row} | {' | '.join(cells)} |", flush=True)
    for name, session in sessions.items():
        print(f"\n{name}: {milliseconds(session):.1f} ms a face, {session.info.precision}")


if __name__ == "__main__":
    main()
