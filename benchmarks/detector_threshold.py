"""Which score threshold the face detector should have by default, on pictures held out from its training.

    python benchmarks/detector_threshold.py [--shared ../shared] [--model FILE.onnx]

Backgrounds at two sizes, whole portraits enlarged, composed scenes; half of them aged by the old-photo
recipe. Truth is what the teacher answers on the untouched picture at a threshold of 0.6, and in scenes what
was put there; what the teacher scores between 0.3 and 0.6 counts neither way. The old photos of
`benchmarks/detector.py` take no part: they are for measuring. These pictures are poor in faces and rich in
what
resembles them: in a photo of people a larger share of the answers are faces.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from detector import aged, search

from revisage import zoo
from revisage.faces import Detector
from revisage.faces.rows import SCORE, iou
from revisage.lab.data.detector_scenes.compose import compose
from revisage.lab.data.detector_scenes.source import Source, load_source, read
from revisage.lab.data.detector_scenes.targets import match

THRESHOLDS = (0.5, 0.55, 0.6, 0.62, 0.64, 0.66, 0.68, 0.7, 0.72, 0.75, 0.8)
PORTRAITS, SCENES = 120, 120


def pictures(source: Source) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Untouched pictures and the boxes (n, 4) that are known to be in them."""
    nothing = np.zeros((0, 4), np.float32)
    for background in source.backgrounds:
        for scale in (1, 1, 2, 2):
            yield cv2.resize(background, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC), nothing
    rng = np.random.default_rng(0)
    for index in rng.choice(len(source.portraits), PORTRAITS, replace=False):
        scale = float(rng.uniform(1.5, 4))
        portrait = read(source.portraits[index])
        yield cv2.resize(portrait, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC), nothing
    for index in range(SCENES):
        scene = compose(source, 1, index, 320)
        if scene.complete:
            yield scene.pixels, scene.boxes


def main() -> None:
    parser = argparse.ArgumentParser(description="default threshold of the face finder")
    parser.add_argument("--shared", type=Path, default=Path(__file__).parents[2] / "shared")
    parser.add_argument("--model", type=Path)
    options = parser.parse_args()
    model = options.model or zoo.resolve("finder").path
    detector = Detector(model, score_threshold=THRESHOLDS[0])
    teacher = Detector(options.shared / "models" / "yunet_2026may.onnx", score_threshold=0.3)
    counts = np.zeros((len(THRESHOLDS), 3), int)  # faces, found, false
    for index, (clean, put) in enumerate(pictures(load_source(options.shared / "data", validation=True))):
        taught = search(teacher, clean)
        truth = taught[taught[:, SCORE] >= 0.6]
        known = np.concatenate([taught[:, :4], put])
        answer = search(detector, aged(clean, index) if index % 2 else clean)
        for row, threshold in enumerate(THRESHOLDS):
            sure = answer[answer[:, SCORE] >= threshold]
            false = sum(not (iou(box, known) > 0.3).any() for box in sure)
            counts[row] += len(truth), match(truth, sure), false
    print(f"{Path(model).name}\n| threshold | recall | false finds | precision |\n|---|---|---|---|")
    for threshold, (faces, found, false) in zip(THRESHOLDS, counts, strict=True):
        precision = found / max(found + false, 1)
        print(f"| {threshold} | {found / faces:.1%} of {faces} | {false} | {precision:.1%} |")


if __name__ == "__main__":
    main()
