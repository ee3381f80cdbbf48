"""The scene model against bicubic and Lanczos on held-out scenes: the table of its card.

    python benchmarks/scene_model.py --shared ../shared [--model NAME] [--seed 0]

Held-out scenes are shrunken by 2 (area averaging), degraded, and doubled again. Rows: "clean" (shrunken
only), "first-order" noise, blur and JPEG, and "old-photo" with marks at the size they have in a photo twice
as wide. The truth has the tone of the degraded photo, since the model leaves tones alone. PSNR in dB and SSIM
over RGB, 8 bits, picture i degraded with the seed (seed, i); 95 % intervals by bootstrap over pictures.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from face_model import interval

from revisage.data.pictures import Pictures, find_pictures
from revisage.degrade import RECIPES, Chain, apply, tone, zoomed
from revisage.metrics.psnr import psnr
from revisage.metrics.ssim import ssim
from revisage.runtime import open_session
from revisage.zoo import resolve

FIGURES = (("psnr", psnr, 2), ("ssim", ssim, 3))


def chain_of(name: str, rng: np.random.Generator) -> Chain:
    """The draw of a row."""
    if name == "clean":
        return Chain(())
    params = RECIPES[name].sample(rng)
    return zoomed(params if isinstance(params, Chain) else Chain((params,)), 2)


def tensor(picture: np.ndarray) -> torch.Tensor:
    """(H, W, 3) in [0, 1] -> (1, 3, H, W), rounded to 8 bits."""
    rounded = np.rint(np.clip(picture, 0, 1) * 255).astype(np.float32) / 255
    return torch.from_numpy(np.ascontiguousarray(rounded.transpose(2, 0, 1)[None]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, default=Path(__file__).parents[2] / "shared")
    parser.add_argument("--model", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    model = resolve("scene", options.model)
    session = open_session(model.path, device="cpu")
    held = Pictures(find_pictures(options.shared / "data" / "scenes", held=True))
    print(f"{model.spec.name} {model.spec.version}, {session.info.precision}, seed {options.seed}\n")
    print("| degradation | n | | PSNR dB | SSIM |\n|---|---|---|---|---|")
    for name in ("clean", "first-order", "old-photo"):
        rows: dict[str, dict[str, list[float]]] = {}
        for i in range(len(held)):
            clean = held[i].astype(np.float32) / 255
            clean = clean[: clean.shape[0] // 2 * 2, : clean.shape[1] // 2 * 2]
            size = (clean.shape[1], clean.shape[0])
            low = cv2.resize(clean, (size[0] // 2, size[1] // 2), interpolation=cv2.INTER_AREA)
            chain = chain_of(name, np.random.default_rng((options.seed, i)))
            low, clean = tensor(apply(low, chain)), tensor(apply(clean, tone(chain)))
            plain = low[0].numpy().transpose(1, 2, 0)
            for row, picture in (
                ("bicubic", cv2.resize(plain, size, interpolation=cv2.INTER_CUBIC)),
                ("Lanczos", cv2.resize(plain, size, interpolation=cv2.INTER_LANCZOS4)),
                ("model", session.run(low.numpy())[0].transpose(1, 2, 0)),
            ):
                for metric, function, _ in FIGURES:
                    value = float(function(tensor(picture), clean))
                    rows.setdefault(row, {}).setdefault(metric, []).append(value)
        for row, values in rows.items():
            cells = []
            for metric, _, digits in FIGURES:
                array = np.array(values[metric])
                low_end, high_end = interval(array)
                cells.append(f"{array.mean():.{digits}f} ({low_end:.{digits}f}–{high_end:.{digits}f})")
            print(f"| {name} | {len(held)} | {row} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
