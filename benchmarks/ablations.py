"""The ablations of GFP-GAN at a given budget: a table and a grid of pictures.

    python benchmarks/ablations.py --data ../shared/data/faces256 --out runs/ablations
                                   [--images 6000] [--preset compact-128] [--only NAME ...] [--set K=V ...]

Each variant is trained from scratch by `revisage train gfpgan`'s own loop with the same seed, pictures and
degradations, in OUT/NAME; killed and started again it goes on. OUT/table.md has validation figures on the
held-out faces, and OUT/grid.png the same faces from all: input, variants in the table's order, truth.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image, ImageDraw

from revisage.cli.train import override
from revisage.lab.degrade import RECIPES
from revisage.lab.networks.discriminators import DiscriminatorConfig
from revisage.lab.networks.gfpgan import GFPGANConfig
from revisage.lab.train import presets
from revisage.lab.train.face_losses import FaceWeights
from revisage.lab.train.loop import train
from revisage.lab.train.pictures import from_unit, grid
from revisage.lab.train.settings import LoopSettings, change
from revisage.lab.train.tasks.gfpgan import FaceSettings, FaceTask

COMPACT_128 = GFPGANConfig(
    size=128,
    unet=(128, 128, 128, 96),
    prior=(128, 128, 128, 96),
    style_dim=64,
    latent_channels=32,
    stem=4,
    condition_layers=1,
    head_kernel=3,
    residual=True,
    noise=False,
)
CRITIC_128 = DiscriminatorConfig(128, (96, 128, 128, 128), stem=4)
LOOP = LoopSettings(
    images=6000, batch=8, rate=1e-3, warmup=1000, beta1=0.5, ema=500, validate_every=1e9, threads=1
)


def variants(base: FaceSettings) -> dict[str, FaceSettings]:
    """What the paper and the project's documents leave out in turn; the whole method comes first."""
    return {
        "GFP-GAN": base,
        "no prior": replace(base, network=replace(base.network, decoder=False)),
        "no pyramid loss": change(base, {"pyramid": 0.0}),
        "no component loss": replace(base, components="none"),
        "component discriminators only": replace(base, components="discriminators"),
        "+ feature matching": replace(base, components="matching"),
        "reconstruction only": change(base, {"adversarial": 0.0}),
    }


def faces(task: FaceTask, network: torch.nn.Module | None, count: int = 6) -> list[np.ndarray]:
    """Held-out faces: the inputs, or what `network` makes of them, (3, S, S) each."""
    recipe, pictures = RECIPES["gfpgan"], []
    for i in range(count):
        clean = task.held[i]
        low = from_unit(recipe.apply(clean, recipe.sample(np.random.default_rng(i))))
        pictures.append(low if network is None else _restore(network, low))
    return pictures


@torch.no_grad()
def _restore(network: torch.nn.Module, low: np.ndarray) -> np.ndarray:
    return network(torch.from_numpy(low[None]))[0][0].numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description="ablations of GFP-GAN")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--images", type=int, default=LOOP.images)
    parser.add_argument(
        "--preset", default="compact-128", help="compact-128 (here), or one of `revisage train`"
    )
    parser.add_argument("--only", nargs="*", metavar="NAME")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    changes = dict(pair.split("=", 1) for pair in options.set)
    if options.preset == "compact-128":
        base = FaceSettings(
            data=options.data,
            network=COMPACT_128,
            discriminator=CRITIC_128,
            loss_weights=FaceWeights(adversarial=0.003),
            components="style",
        )
        loop = LOOP
    else:
        preset = presets.choose("gfpgan", options.preset)
        base, loop = preset.task(options.data), preset.loop
    base, loop = override(base, changes), override(loop, changes | {"images": str(options.images)})
    table: list[tuple[str, dict[str, float]]] = []
    rows: list[list[np.ndarray]] = []
    for name, settings in variants(base).items():
        if options.only and name not in options.only:
            continue
        task = FaceTask(settings)
        network = train(task, options.out / name.replace(" ", "-").replace("+", "and"), loop)
        figures = task.validate(network)
        if not table:
            table.append(
                ("input", {k.removeprefix("input_"): v for k, v in figures.items() if "input_" in k})
            )
            rows.append(faces(task, None))
        table.append((name, {k: v for k, v in figures.items() if "input_" not in k}))
        rows.append(faces(task, network))
        truth = [from_unit(task.held[i]) for i in range(len(rows[0]))]
    names = [n for n in ("psnr", "ssim", "degrees") if n in table[0][1]]
    heads = {"psnr": "PSNR dB", "ssim": "SSIM", "degrees": "identity angle"}
    lines = ["| | " + " | ".join(heads[n] for n in names) + " |", "|---" * (len(names) + 1) + "|"]
    for name, figures in table:
        values = (f"{figures[n]:.3f}" if n == "ssim" else f"{figures[n]:.2f}" for n in names)
        lines.append(f"| {name} | " + " | ".join(values) + " |")
    lines.append(f"\n{options.images} images each from scratch, batch {loop.batch}, seed {base.seed}, ")
    lines.append(f"{len(task.held)} held-out faces, recipe gfpgan.")
    (options.out / "table.md").write_text("\n".join(lines) + "\n")
    sheet = grid([*rows, truth], columns=1)
    Image.fromarray(labelled(sheet, [name for name, _ in table] + ["truth"])).save(options.out / "grid.png")
    print("\n".join(lines))


def labelled(sheet: np.ndarray, names: list[str]) -> np.ndarray:
    """The grid with a name in front of each row."""
    margin, height = 190, sheet.shape[0] // len(names)
    canvas = Image.fromarray(
        cv2.copyMakeBorder(sheet, 0, 0, margin, 0, cv2.BORDER_CONSTANT, value=(255,) * 3)
    )
    drawing = ImageDraw.Draw(canvas)
    for i, name in enumerate(names):
        drawing.text((6, i * height + height // 2), name, (0, 0, 0))
    return np.array(canvas)


if __name__ == "__main__":
    main()
