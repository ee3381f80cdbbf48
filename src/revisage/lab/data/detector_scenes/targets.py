"""Dense targets for the detector: what its teacher answers on a clean scene, and what it missed."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from revisage.errors import TrainingError
from revisage.faces import network
from revisage.faces.network import STRIDES, Network
from revisage.faces.rows import BOX, POINTS, SCORE, iou
from revisage.lab.data.detector_scenes.compose import Scene
from revisage.zoo import read_metadata

SMALLEST_FACE = 15.0  # a composed face below this many pixels is not demanded when the teacher misses it
FAINT = 0.1  # cells below this score are asked for no landmarks
COARSE_FROM = 110.0  # the teacher answers larger faces at stride 32, smaller ones at stride 8


@dataclass(frozen=True)
class Detections:
    """Boxes (n, 4) x, y, w, h and landmarks (n, 5, 2) in pixels, scores (n)."""

    boxes: np.ndarray
    landmarks: np.ndarray
    scores: np.ndarray


class Teacher:
    """A detector in the layout of `FaceDetectorYN`, asked for its dense outputs. Thread-safe."""

    def __init__(self, model: Path) -> None:
        if not model.is_file():
            raise TrainingError(f"no teacher detector at {model}; --set teacher=FILE.onnx names one")
        read_metadata(model)  # refuses weights in another file
        self._network = Network(model, precision="fp32", threads=1)

    def __call__(self, pixels: np.ndarray) -> list[np.ndarray]:
        """(H, W, 3) RGB uint8, sides multiples of 32, to (16, H/stride, W/stride) float32 per stride.

        Channels: cls and obj as probabilities, 4 of the box, 10 of the landmarks, in units of the stride.
        """
        height, width = pixels.shape[:2]
        return [
            np.ascontiguousarray(cells.T).reshape(16, height // stride, width // stride)
            for stride, cells in zip(STRIDES, self._network.dense(pixels), strict=True)
        ]


def add_known(levels: list[np.ndarray], scene: Scene, score: float = 0.9) -> int:
    """Write what the scene knows into the teacher's dense outputs, in place; how many faces it had missed.

    A face counts as seen when a cell with a score of at least 0.5 has a box that overlaps it by an IoU of
    0.4. A missed one of `SMALLEST_FACE` pixels or more is written to the 3 x 3 cells around its centre, as
    the teacher itself would. A seen one keeps the teacher's box and gets the scene's landmarks: the teacher's
    turn by some 5 degrees with a head that is turned by 30. In the parts with leaning faces, which the scene
    does not list, landmarks become NaN.
    """
    height, width = scene.pixels.shape[:2]
    for x, y, w, h in scene.leaning:
        for stride, level in zip(STRIDES, levels, strict=True):
            rows, columns = (
                slice(math.floor(start / stride), math.ceil((start + side) / stride))
                for start, side in ((max(y, 0), h), (max(x, 0), w))
            )
            level[6:, rows, columns] = np.nan
    seen = decode(levels, 0.5).boxes
    added = 0
    for box, landmarks in zip(scene.boxes, scene.landmarks, strict=True):
        x, y, w, h = (float(v) for v in box)
        inside = max(0.0, min(x + w, width) - max(x, 0)) * max(0.0, min(y + h, height) - max(y, 0))
        if (iou(box, seen) >= 0.4).any():
            _put_landmarks(levels, box, landmarks)
            continue
        if np.sqrt(w * h) < SMALLEST_FACE or inside < 0.6 * w * h:
            continue
        index = 0 if np.sqrt(w * h) < COARSE_FROM else 2
        stride, level = STRIDES[index], levels[index]
        cx, cy = (x + w / 2) / stride, (y + h / 2) / stride
        for row in range(max(0, round(cy) - 1), min(level.shape[1], round(cy) + 2)):
            for column in range(max(0, round(cx) - 1), min(level.shape[2], round(cx) + 2)):
                if level[0, row, column] * level[1, row, column] > 0.25:
                    continue  # a neighbour's cell
                level[:2, row, column] = score
                level[2:6, row, column] = cx - column, cy - row, np.log(w / stride), np.log(h / stride)
                level[6:, row, column] = (landmarks / stride - (column, row)).ravel()
        added += 1
    return added


def _put_landmarks(levels: list[np.ndarray], box: np.ndarray, landmarks: np.ndarray) -> None:
    """Replace the landmarks of every cell whose box overlaps `box` by an IoU of 0.4, in place."""
    for stride, level in zip(STRIDES, levels, strict=True):
        cells, width = level.reshape(16, -1).T, level.shape[2]
        here = iou(box, network.decode(cells, stride, width, FAINT)) >= 0.4
        rows, columns = np.divmod(np.flatnonzero(network.scores(cells) >= FAINT)[here], width)
        corner = np.stack([columns, rows], 1)
        level[6:, rows, columns] = (landmarks / stride - corner[:, None]).reshape(-1, 10).T


def decode(levels: list[np.ndarray], threshold: float) -> Detections:
    """Dense outputs to every detection of at least `threshold`, before suppression."""
    rows = np.concatenate(
        [
            network.decode(level.reshape(16, -1).T, stride, level.shape[2], threshold)
            for stride, level in zip(STRIDES, levels, strict=True)
        ]
    )
    return Detections(rows[:, BOX], rows[:, POINTS].reshape(-1, 5, 2), rows[:, SCORE])


def suppress(detections: Detections, overlap: float = 0.3) -> Detections:
    """Non-maximum suppression: of those that overlap by more than `overlap` (IoU) the best stays."""
    order = np.argsort(-detections.scores, kind="stable")
    kept: list[int] = []
    for index in order:
        if not (iou(detections.boxes[index], detections.boxes[kept]) > overlap).any():
            kept.append(int(index))
    return Detections(detections.boxes[kept], detections.landmarks[kept], detections.scores[kept])


def match(truth: Detections, answer: Detections, overlap: float = 0.5) -> int:
    """How many faces of `truth` are found: one to one, best scores first, at an IoU of at least `overlap`."""
    free = np.ones(len(truth.boxes), bool)
    for index in np.argsort(-answer.scores, kind="stable"):
        overlaps = np.where(free, iou(answer.boxes[index], truth.boxes), 0.0)
        if len(overlaps) and overlaps.max() >= overlap:
            free[overlaps.argmax()] = False
    return int((~free).sum())
