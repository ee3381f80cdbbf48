"""The expression classifier on held-out faces: accuracy and confusion, the tables of its card.

    python benchmarks/expressions.py [--data ../shared/data/expressions] [--model NAME|FILE.onnx]

The faces are the 15 % that `revisage train expressions` holds out by the hash of their names; they are found,
aligned to the FFHQ template and recognised as in evaluation.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from revisage.faces import Detector
from revisage.lab.data.expressions import EXPRESSIONS, labelled, read_crops
from revisage.lab.evaluate.expressions import ModelClassifier
from revisage.lab.evaluate.summary import summarise
from revisage.zoo import resolve

SIDE = 256
BATCH = 64


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data" / "expressions"
    )
    parser.add_argument("--model", default="auto")
    options = parser.parse_args()
    rows = labelled(options.data, held=True)
    find = Detector(resolve("finder").path, score_threshold=0.5).find
    whole = np.array([[1.0, 0, 0], [0, 1.0, 0]])
    classifier = ModelClassifier(options.model)
    answers = []
    for start in range(0, len(rows), BATCH):
        gray = read_crops([path for path, _ in rows[start : start + BATCH]], find, SIDE, whole)
        faces = torch.from_numpy(gray[:, None].astype(np.float32) / 255).repeat(1, 3, 1, 1)
        answers.append(classifier.recognise(faces).numpy())
    truth, answer = np.array([label for _, label in rows]), np.concatenate(answers)
    right = summarise((truth == answer).astype(float))
    assert right.interval is not None
    low, high = right.interval
    print(f"{100 * right.mean:.1f} % of {right.n} right (95 % interval {100 * low:.1f}–{100 * high:.1f})\n")
    print(
        "| is \\ taken for | " + " | ".join(EXPRESSIONS) + " | n |\n|---|" + "---|" * (len(EXPRESSIONS) + 1)
    )
    for number, name in enumerate(EXPRESSIONS):
        counts = np.bincount(answer[truth == number], minlength=len(EXPRESSIONS))
        shares = " | ".join(f"{100 * share:.0f}" for share in counts / counts.sum())
        print(f"| {name} | {shares} | {counts.sum()} |")


if __name__ == "__main__":
    main()
