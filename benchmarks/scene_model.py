"""The scene model against bicubic and Lanczos on held-out scenes: the tables of its card.

    python benchmarks/scene_model.py --shared ../shared [--model NAME|FILE.onnx] [--draws 4] [--sheet FILE]

Held-out scenes are shrunken by 2 (area averaging), degraded, and doubled again. Rows: "clean" (shrunken
only), the recipes "first-order", "second-order" and "old-photo", and "scratches" (scratches and hairs on an
otherwise clean photo); marks have the size they have in a photo twice as wide. The truth has the tone of the
degraded photo, since the model leaves tones alone. PSNR in dB and SSIM over RGB, 8 bits; NIQE, lower is more
natural. Draw d of picture i has the seed (seed + d, i); figures are averaged over the draws of a picture, and
95 % intervals are by bootstrap over pictures. "Gain" is the PSNR over that of the first method, picture by
picture.

Two more tables: how well pixels under a drawn mark are restored, and cleaning at x1 (the doubled picture
averaged back) against the degraded photo itself.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import torch
from face_model import interval
from PIL import Image
from torch import Tensor

from revisage.data.pictures import Pictures, find_pictures
from revisage.degrade import RECIPES, Chain, apply, tone, zoomed
from revisage.degrade.damage import Hairs, Scratches
from revisage.metrics.niqe import niqe, read_pristine
from revisage.metrics.psnr import psnr
from revisage.metrics.ssim import ssim
from revisage.metrics.weights import locate
from revisage.runtime import open_session
from revisage.zoo import read_contract, resolve

KINDS = ("clean", "first-order", "second-order", "old-photo", "scratches")
MULTIPLE = 8  # of a truth's sides, so that networks which unshuffle by 4 take its half
MARKED = 8 / 255  # a pixel that a drawn mark changed by more lies under it
SHEET = 4  # pictures of each row on the sheet


@dataclass(frozen=True)
class Case:
    """One degraded scene, float32 RGB in [0, 1], 8 bits: `low` (h, w, 3) and its `truth` (2 h, 2 w, 3).

    `under` (2 h, 2 w) tells which pixels lie under a drawn mark, where marks are all that was drawn.
    """

    low: np.ndarray
    truth: np.ndarray
    under: np.ndarray | None


def chain_of(name: str, rng: np.random.Generator) -> Chain:
    """The draw of a row."""
    if name == "clean":
        return Chain(())
    if name == "scratches":
        return zoomed(Chain((Scratches.sample(rng), Hairs.sample(rng))), 2)
    return zoomed(RECIPES[name].sample(rng), 2)


def eight_bits(picture: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(picture, 0, 1) * 255).astype(np.float32) / 255


def case(picture: np.ndarray, name: str, seed: tuple[int, int]) -> Case:
    """(H, W, 3) uint8 -> one draw of a row."""
    clean = picture.astype(np.float32) / 255
    clean = clean[: clean.shape[0] // MULTIPLE * MULTIPLE, : clean.shape[1] // MULTIPLE * MULTIPLE]
    size = (clean.shape[1], clean.shape[0])
    small = cv2.resize(clean, (size[0] // 2, size[1] // 2), interpolation=cv2.INTER_AREA)
    chain = chain_of(name, np.random.default_rng(seed))
    low, under = apply(small, chain), None
    if name == "scratches":
        marks = (np.abs(low - small).max(axis=2) > MARKED).astype(np.uint8)
        under = cv2.resize(marks, size, interpolation=cv2.INTER_NEAREST) > 0
    return Case(eight_bits(low), eight_bits(apply(clean, tone(chain))), under)


def tensor(picture: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(eight_bits(picture).transpose(2, 0, 1)[None]))


def decibels(picture: np.ndarray, truth: np.ndarray, where: np.ndarray) -> float:
    """PSNR of the pixels in a mask."""
    return float(-10 * np.log10(np.square(eight_bits(picture) - truth)[where].mean()))


class Results:
    """Figures by (degradation, method), each (pictures, metrics), averaged over draws as they are added."""

    def __init__(self, pictures: int, draws: int) -> None:
        self.pictures, self.draws = pictures, draws
        self.values: dict[tuple[str, str], np.ndarray] = {}

    def add(self, name: str, method: str, picture: int, figures: Sequence[float]) -> None:
        table = self.values.setdefault((name, method), np.zeros((self.pictures, len(figures))))
        table[picture] += np.array(figures) / (1 if name == "clean" else self.draws)

    def table(self, header: str, digits: Sequence[int], base: str) -> str:
        """Markdown; the last column is the gain of the first metric over method `base`."""
        lines = [f"| degradation | | {header} | gain dB |", f"|{'---|' * (len(digits) + 3)}"]
        for (name, method), values in self.values.items():
            columns = [*values.T, values[:, 0] - self.values[name, base][:, 0]]
            cells = [spread(column, n) for column, n in zip(columns, (*digits, 2), strict=True)]
            lines.append(f"| {name} | {method} | {' | '.join(cells)} |")
        return "\n".join(lines)


def spread(values: np.ndarray, digits: int) -> str:
    """Mean and interval."""
    low, high = interval(values)
    return f"{values.mean():.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, default=Path(__file__).parents[2] / "shared")
    parser.add_argument("--model", default="auto", help="a model's name or its file")
    parser.add_argument("--draws", type=int, default=4, help="degradations of each picture")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sheet", type=Path, help="write input, bicubic, model and truth as a picture")
    options = parser.parse_args()
    path = Path(options.model) if options.model.endswith(".onnx") else resolve("scene", options.model).path
    session, contract = open_session(path, device="cpu"), read_contract(path)
    held = Pictures(find_pictures(options.shared / "data" / "scenes", held=True))
    pristine = read_pristine(locate("niqe", "niqe", options.shared / "models"))
    doubled, marked, cleaned = (Results(len(held), options.draws) for _ in range(3))
    sheet: list[np.ndarray] = []
    for name, i in product(KINDS, range(len(held))):
        for draw in range(1 if name == "clean" else options.draws):
            one = case(held[i], name, (options.seed + draw, i))
            small, size = (p.shape[1::-1] for p in (one.low, one.truth))
            outputs = {
                "bicubic": cv2.resize(one.low, size, interpolation=cv2.INTER_CUBIC),
                "Lanczos": cv2.resize(one.low, size, interpolation=cv2.INTER_LANCZOS4),
                "model": session.run(one.low.transpose(2, 0, 1)[None].copy())[0].transpose(1, 2, 0),
            }
            truth = tensor(one.truth)
            for method, output in outputs.items():
                ours = tensor(output)
                figures = [float(f) for f in (psnr(ours, truth), ssim(ours, truth), niqe(ours, pristine))]
                doubled.add(name, method, i, figures)
                if one.under is not None:
                    marked.add("under the marks", method, i, [decibels(output, one.truth, one.under)])
            if name != "clean":  # a clean photo is its own best at x1
                aim = tensor(cv2.resize(one.truth, small, interpolation=cv2.INTER_AREA))
                averaged = cv2.resize(outputs["model"], small, interpolation=cv2.INTER_AREA)
                for method, output in (("the photo", one.low), ("model", averaged)):
                    ours = tensor(output)
                    cleaned.add(name, method, i, [float(psnr(ours, aim)), float(ssim(ours, aim))])
            if draw == 0 and i < SHEET:
                cells = [one.low.repeat(2, 0).repeat(2, 1), outputs["bicubic"], outputs["model"], one.truth]
                sheet.append(np.concatenate([eight_bits(c)[:320, :320] for c in cells], axis=1))
    print(f"{contract.name} {contract.version}, {session.info.precision}, seed {options.seed},", end=" ")
    print(f"{len(held)} scenes, {options.draws} draws each\n")
    print(doubled.table("PSNR dB | SSIM | NIQE", (2, 3, 2), "bicubic") + "\n")
    print(marked.table("PSNR dB", (2,), "bicubic") + "\n")
    print("At x1:\n\n" + cleaned.table("PSNR dB | SSIM", (2, 3), "the photo"))
    if options.sheet:
        Image.fromarray(np.rint(np.concatenate(sheet) * 255).astype(np.uint8)).save(options.sheet)


if __name__ == "__main__":
    main()
