"""The progressive GAN on held-out people of LFW: the table of Kim et al. (PSNR, SSIM, MS-SSIM, LPIPS, NIQE,
FID).

    python benchmarks/progressive.py --shared ../shared --upscale progressive-upscale \
        --restore progressive-restore --out runs/progressive [--limit 2650] [--seed 0] [--groups]

Two evaluations by `revisage evaluate`'s own code, `--out`/16 and `--out`/128: thumbnails (recipe
"progressive-16") and damaged pictures ("progressive-128"), each of the same pictures, 128 px, whole.
Methods: the input, the objective's model, both models one after the other in both orders (the second gets
what the first gives, brought to its size), and the mean of both. NIQE is of the pictures at twice their
size, LPIPS and FID join where their weights are; the identity angle is of the faces that are found. The
held-out people are those of the training (`HELD_OUT`), of their pictures the first `--limit` by a hash:
2,650 as in the document.

`--groups` adds groups.md: figures by what the document says its models fail at, as far as it can be told by
machine: several faces, pose (by the five landmarks), unsure finds (covered, cut or dark faces), gray
pictures, and expression (by the embedded classifier, which is itself unsure). Nobody has labelled LFW here
for objects over the face, origin, gender or wrinkles.
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from revisage import zoo
from revisage.errors import FaceError, ModelMissingError
from revisage.faces import Detector, align, estimate
from revisage.lab import evaluate
from revisage.lab.data.expressions import EXPRESSIONS
from revisage.lab.data.pictures import held_out
from revisage.lab.evaluate import Data
from revisage.lab.evaluate.data import read
from revisage.lab.evaluate.expressions import ModelClassifier
from revisage.lab.evaluate.measure import to_batch
from revisage.lab.evaluate.tables import groups_markdown, markdown
from revisage.lab.metrics import Metric
from revisage.lab.train.tasks.progressive import HELD_OUT, person

RECIPES = {"16": "progressive-16", "128": "progressive-128"}
METRICS = ("psnr", "ssim", "ms_ssim", "lpips_alex", "fid", "degrees", "niqe")
TURNED = 0.15  # nose beside the middle of the eyes, as a share of the eyes' distance: some 15 degrees
SURE = 0.9  # the detector's score of an uncovered face in good light
GRAY = 4.0  # mean difference of the channels, in 8 bits: of a gray picture stored with colour


def enlarged(metric: Metric) -> Metric:
    """A metric without a truth, of pictures enlarged to twice their size.

    NIQE looks at patches of 96 px and needs several: it has no value at 128 px.
    """
    crop = f"{metric.spec.crop}, enlarged to twice its size (bicubic)"
    spec = replace(metric.spec, name=f"{metric.spec.name}_x2", crop=crop, least=1)
    return replace(metric, spec=spec, function=lambda pictures: metric(double(pictures)))


def double(pictures: Tensor) -> Tensor:
    return F.interpolate(pictures, scale_factor=2, mode="bicubic").clamp(0, 1)


def methods(kind: str, upscale: str, restore: str) -> list[str]:
    own = f"upscale={upscale}" if kind == "16" else f"restore={restore}"
    return [
        "input",
        own,
        f"restore>upscale={restore}>{upscale}",
        f"upscale>restore={upscale}>{restore}",
        f"mean of both={upscale}+{restore}",
    ]


def pictures(folder: Path, recipe: str, limit: int, seed: int) -> Data:
    """The first `limit` pictures of the people that the training holds out."""
    view = evaluate.View(size=128, whole=True)
    data = evaluate.clean_pictures(folder, recipe=recipe, seed=seed, view=view)
    items = tuple(i for i in data.items if i.clean and held_out(person(i.clean, folder), HELD_OUT))
    return evaluate.select(replace(data, items=items), limit=limit)


def metrics_of(data: Data, weights: Path) -> list[Metric]:
    """Those of the document whose weights are on this machine, in its order."""
    opened = []
    for name in METRICS:
        try:
            found = evaluate.open_metrics([name], data, weights=weights)
            opened += [enlarged(metric) for metric in found] if name == "niqe" else found
        except ModelMissingError as error:
            print(f"without {name}: {error}")
    return opened


def write_groups(data: Data, path: Path) -> None:
    """A table of labels, found on the true pictures."""
    detector, classifier = Detector(zoo.resolve("finder").path), ModelClassifier()
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image", "faces", "pose", "find", "colour", "expression"])
        for item in data.items:
            assert item.clean is not None
            pixels = read(item.clean)
            found = detector.find(pixels)
            row = [item.name, "several" if len(found) > 1 else "one" if found else "none"]
            if found:
                row += [pose(found[0].landmarks), "sure" if found[0].score >= SURE else "unsure"]
            else:
                row += ["unknown", "none"]
            row.append("gray" if np.ptp(pixels, axis=2).mean() < GRAY else "colour")
            row.append(expression(classifier, pixels, found[0].landmarks) if found else "unknown")
            table.writerow(row)


def pose(landmarks: np.ndarray) -> str:
    """By how far the nose is beside the middle of the eyes, as a share of the eyes' distance."""
    right, left, nose = landmarks[:3].astype(np.float64)
    axis = left - right
    beside = abs(float((nose - (right + left) / 2) @ axis) / float(axis @ axis))
    return "ahead" if beside < TURNED else "turned" if beside < 2 * TURNED else "far turned"


def expression(classifier: ModelClassifier, pixels: np.ndarray, landmarks: np.ndarray) -> str:
    try:
        face = align(pixels, estimate(landmarks, 256), 256)
    except FaceError:
        return "unknown"
    return EXPRESSIONS[int(classifier.recognise(to_batch([face]))[0])]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--upscale", default="progressive-upscale", help="name of a model, or an .onnx file")
    parser.add_argument("--restore", default="progressive-restore", help="name of a model, or an .onnx file")
    parser.add_argument("--out", type=Path, default=Path("runs/progressive-table"))
    parser.add_argument("--limit", type=int, default=2650)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--groups", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    folder, labels = options.shared / "data" / "lfw128", None
    for kind, recipe in RECIPES.items():
        data = pictures(folder, recipe, options.limit, options.seed)
        out = options.out / kind
        out.mkdir(parents=True, exist_ok=True)
        if options.groups:
            if not (out / "labels.csv").is_file():
                write_groups(data, out / "labels.csv")
            labels = evaluate.read_labels(out / "labels.csv", [item.name for item in data.items])
        settings = evaluate.MethodSettings(aligned=data.view.direct, device="cpu", threads=options.threads)
        opened = evaluate.open_methods(methods(kind, options.upscale, options.restore), settings, data)
        results = evaluate.evaluate(
            data, opened, metrics_of(data, options.shared / "models"), out, labels=labels
        )
        evaluate.write_reports(results, out)
        print(f"\n{recipe}\n\n{markdown(results)}")
        if labels is not None:
            print(groups_markdown(results))


if __name__ == "__main__":
    main()
