"""What each change of the face model's network, losses and recipe is worth: the same weights, trained with
and without it.

    python benchmarks/face_changes.py --out DIR [--shared ../shared] [--init revisage-face-256] [--minutes 20]
                                      [--only NAME ...] [--count 100] [--data FOLDER] [--set key=value ...]

Trains a pair for every change, each for `--minutes` of training time from the weights of `--init`, with the
same seed, samples and loop; started again it goes on where it was. Then `DIR/table.md` has, on `--count`
held-out faces under the recipes "paper" and "hard", input, version before training and every pair: PSNR,
SSIM, LPIPS (squeeze), the identity angle by MobileFaceNet and by EdgeFace, the angle of small faces (hard, r
of 6 to 8), the correlation with the truth between 20 and 48 cycles a face, and R^2 of what the network says
of the blur. Intervals are of the difference within a pair, 95 %, by bootstrap over faces: a change whose
interval holds 0 has shown nothing. Machines differ: compare what one machine trained.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from revisage import zoo
from revisage.cli.train import override
from revisage.lab.degrade import RECIPES, Chain, Recipe
from revisage.lab.degrade.gfpgan import Gfpgan
from revisage.lab.metrics.degrees import degrees
from revisage.lab.metrics.psnr import psnr
from revisage.lab.metrics.ssim import ssim
from revisage.lab.networks.arcface import ArcFaceCrop
from revisage.lab.networks.gfpgan import CLEAR_256, COMPACT_256, GFPGAN
from revisage.lab.train import presets
from revisage.lab.train.face_losses import FaceWeights
from revisage.lab.train.face_validation import RECIPES_HELD
from revisage.lab.train.init import start_from
from revisage.lab.train.loop import train
from revisage.lab.train.settings import change as changed
from revisage.lab.train.tasks.gfpgan import FaceSettings, FaceTask

DIGITS = {"psnr": 2, "ssim": 3, "lpips": 3, "degrees": 1, "degrees_edgeface": 1, "correlation": 3}
BAND = (20, 48)  # cycles a face: where the angle lives and the output is weakest
SMALL = (12.0, 16.0)  # r of the recipe "hard" from 6 to 8, stated at 512 px


@dataclass(frozen=True)
class Change:
    """What is left out in the second of a pair.

    Attributes:
        settings: of the task without it.
        loop: of the training without it.
        base: of both, beside the stage's own.
        spoil: done to the task without it, where no setting says so.
    """

    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    loop: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    base: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    spoil: Callable[[FaceTask], None] = lambda task: None


def narrow(rng: np.random.Generator) -> Chain:
    """The recipe "face" with r up to 8, as version 3 had it."""
    steps = [
        replace(step, factor=1 + (step.factor - 1) * 7 / 15)
        if isinstance(step, Gfpgan) and step.factor > 4
        else step
        for step in RECIPES["face"].sample(rng).steps
    ]
    return Chain(tuple(steps))


def rough_crops(task: FaceTask) -> None:
    """The losses through embeddings look without smoothing and always at the same pixels."""
    task.face_losses.crops = nn.ModuleDict({str(width): ArcFaceCrop(width) for width in (96, 112)})
    task.face_losses.reach = 0.0


ADVERSARIAL = {"adversarial": 0.04, "pyramid": 0.0}
CHANGES = {
    "small faces in the recipe": Change({"recipe": "face-narrow"}),
    "whole layout of version 4": Change({"network": COMPACT_256}),
    "code of the degradation": Change({"network": replace(CLEAR_256, code=0)}),
    "depth at 16 and 32 px": Change({"network": replace(CLEAR_256, deep=())}),
    "attention": Change({"network": replace(CLEAR_256, attention=0)}),
    "Laplacian": Change({"laplacian": 0.0}),
    "LPIPS": Change({"lpips": 0.0}),
    "features of MobileFaceNet": Change({"features": 0.0}),
    "EdgeFace for identity": Change({"edgeface_weights": None}),
    "smoothed, moved crops": Change(spoil=rough_crops, base={"identity": 0.5}),
    "discriminators": Change({"adversarial": 0.0, "pyramid": 0.0}, base=ADVERSARIAL),
    "Muon": Change(loop={"optimizer": "adam"}),
}


def correlation(picture: Tensor, truth: Tensor) -> Tensor:
    """(N, 3, S, S) twice -> (N,): of their gray values within `BAND`."""
    side = picture.shape[-1]
    cycles = torch.fft.fftfreq(side) * side
    radius = torch.hypot(cycles[:, None], cycles[None])
    within = (radius >= BAND[0]) & (radius < BAND[1])
    a, b = (torch.fft.fft2(x.double().mean(1))[:, within] for x in (picture, truth))
    shared = (a * b.conj()).real.sum(1)
    return shared / (a.abs().square().sum(1) * b.abs().square().sum(1)).sqrt().clamp(min=1e-12)


@torch.no_grad()
def measure(task: FaceTask, network: nn.Module | None) -> dict[str, np.ndarray]:
    """Per face, {"paper psnr": (N,), ...}, of what `network` makes of the held-out inputs, or of these."""
    held, found = task.validation, {}
    for recipe in RECIPES_HELD:
        low, clean, drawn = held.pairs(recipe)
        picture, said = (low, None) if network is None else held.run(network, low)
        picture = picture.clamp(-1, 1)
        a, b = picture * 0.5 + 0.5, clean * 0.5 + 0.5
        figures = {"psnr": psnr(a, b), "ssim": ssim(a, b), "correlation": correlation(a, b)}
        if held.lpips is not None:
            parts = zip(a.split(8), b.split(8), strict=True)
            figures["lpips"] = torch.cat([held.lpips(x, y) for x, y in parts])
        if held.embedder is not None:
            figures["degrees"] = degrees(held.embedder(picture), held.embedder(clean))
        if held.edge is not None:
            figures["degrees_edgeface"] = degrees(held.known(picture), held.known(clean))
        found |= {f"{recipe} {name}": value.double().numpy() for name, value in figures.items()}
        if recipe == "hard" and "degrees" in figures:
            r = np.exp(drawn[:, 3])
            small = (r >= SMALL[0]) & (r <= SMALL[1])
            found["hard degrees, r 6-8"] = np.where(small, found["hard degrees"], np.nan)
        if said is not None:
            error = said[:, 0].numpy() - drawn[:, 0]
            found[f"{recipe} sigma_r2"] = 1 - np.square(error) / max(drawn[:, 0].var(), 1e-12)
    return found


def interval(values: np.ndarray, draws: int = 2000) -> tuple[float, float]:
    """95 % bootstrap interval of the mean of the values that are there."""
    values = values[np.isfinite(values)]
    if not len(values):
        return np.nan, np.nan
    means = values[np.random.default_rng(0).integers(0, len(values), (draws, len(values)))].mean(1)
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)


def mean(values: np.ndarray) -> float:
    """Of the values that are there; NaN without one."""
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else float("nan")


def table(rows: Mapping[str, dict[str, np.ndarray]], pairs: Mapping[str, tuple[str, str]]) -> str:
    """Means of every row, and under each pair what the change adds, with its interval."""
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    lines = ["| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]

    def digits(name: str) -> int:
        return DIGITS.get(name.split()[1].rstrip(","), 2)

    for label, row in rows.items():
        cells = [f"{mean(row[n]):.{digits(n)}f}" if n in row else "" for n in names]
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    for label, (with_it, without) in pairs.items():
        cells = []
        for n in names:
            if n not in rows[with_it] or n not in rows[without]:
                cells.append("")
                continue
            gain, k = rows[with_it][n] - rows[without][n], digits(n)
            low, high = interval(gain)
            cells.append(f"{mean(gain):+.{k}f} ({low:+.{k}f} to {high:+.{k}f})")
        lines.append(f"| **{label}: gain** | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, default=Path(__file__).parents[2] / "shared")
    parser.add_argument("--data", type=Path, help="faces256 of the shared folder unless told")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--init", default="revisage-face-256", help="FILE.onnx, a training's folder or a model"
    )
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--only", nargs="*", default=list(CHANGES), choices=list(CHANGES), metavar="NAME")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="of both of every pair")
    options = parser.parse_args()
    RECIPES["face-narrow"] = Recipe("face-narrow", narrow)
    given = Path(options.init)
    init = given if given.exists() else zoo.get(options.init).path
    models, preset = options.shared / "models", presets.choose("gfpgan", "reconstruction-256")
    base = FaceSettings(
        data=options.data or options.shared / "data" / "faces256",
        identity_weights=models / "mobilefacenet_068.ckpt",
        edgeface_weights=models / "edgeface_xs.npz",
        lpips_weights=models / "squeezenet1_1.npz",
        loss_weights=FaceWeights(laplacian=0.5),
        validation=options.count,
    )
    loop = replace(
        preset.loop, images=None, hours=options.minutes / 60, rate=4e-4, ema=1000, validate_every=1e9
    )
    changes = dict(pair.split("=", 1) for pair in options.set)
    base, loop = override(base, changes), override(loop, changes)

    rows: dict[str, dict[str, np.ndarray]] = {}
    pairs: dict[str, tuple[str, str]] = {}
    done: dict[FaceSettings, str] = {}  # what several changes are measured against is trained once
    judge = FaceTask(replace(base, edgeface_weights=models / "edgeface_xs.npz"))
    rows["input"] = measure(judge, None)
    for name, network in (("version 3's layout", COMPACT_256), ("version 4's layout", CLEAR_256)):
        fresh = GFPGAN(network)
        start_from(fresh, init)
        rows[f"{name}, not trained"] = measure(judge, fresh.eval())
    for name in options.only:
        change, labels = CHANGES[name], []
        whole = changed(base, change.base)
        for label, settings, fast in (
            (f"{name}: with", whole, loop),
            (f"{name}: without", changed(whole, change.settings), replace(loop, **change.loop)),
        ):
            if settings in done and label.endswith("with") and fast == loop:
                labels.append(done[settings])
                continue
            task = FaceTask(settings)
            if label.endswith("without"):
                change.spoil(task)
            run = options.out / label.replace(": ", "-").replace(" ", "-").replace(",", "")
            network = train(task, run, fast, init=init).cpu()
            rows[label] = measure(judge, network)
            if label.endswith("with"):
                done[settings] = label
            labels.append(label)
        pairs[name] = labels[0], labels[1]
        text = table(rows, pairs)
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "table.md").write_text(
            f"{text}\n\n{options.minutes} minutes each, {options.count} faces.\n"
        )
    print((options.out / "table.md").read_text())


if __name__ == "__main__":
    main()
