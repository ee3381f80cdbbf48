"""Dense targets for the detector: what its teachers answer on a clean scene, and what they missed. Faces are
rows (n, 15), as in `revisage.faces.rows`."""

import math
from pathlib import Path

import cv2
import numpy as np

from revisage.errors import TrainingError
from revisage.faces import network
from revisage.faces.network import STRIDES, Network
from revisage.faces.rows import SCORE, iou, suppress
from revisage.lab.data.detector_scenes.paste import Scene
from revisage.runtime import open_session
from revisage.zoo import read_metadata

SMALLEST_FACE = 15.0  # a composed face below this many pixels is not demanded when the teacher misses it
FAINT = 0.1  # cells below this score are asked for no landmarks
COARSE_FROM = 110.0  # the teacher answers larger faces at stride 32, smaller ones at stride 8


class Teacher:
    """A detector in the layout of `FaceDetectorYN`, asked for its dense outputs. Thread-safe."""

    def __init__(self, model: Path) -> None:
        if not model.is_file():
            raise TrainingError(f"no teacher detector at {model}; --set teacher=FILE.onnx names one")
        read_metadata(model)  # refuses weights in another file
        self._network = Network(model, precision="fp32", threads=1)

    def __call__(self, pixels: np.ndarray) -> list[np.ndarray]:
        """(H, W, 3) RGB uint8, sides multiples of 32, to (16, H/stride, W/stride) float32 per stride: cls and
        obj as probabilities, 4 of the box, 10 of the landmarks, in units of the stride."""
        height, width = pixels.shape[:2]
        return [
            np.ascontiguousarray(cells.T).reshape(16, height // stride, width // stride)
            for stride, cells in zip(STRIDES, self._network.dense(pixels), strict=True)
        ]


class Scrfd:
    """SCRFD (Guo et al., *Sample and Computation Redistribution for Efficient Face Detection*, ICLR 2022), an
    ONNX file with landmarks as InsightFace publishes it, run as there: the picture fits `side` x `side`
    pixels (a multiple of 32), suppression at an IoU of 0.4. Raises TrainingError without the file."""

    def __init__(self, model: Path, side: int = 640, score: float = 0.5) -> None:
        if not model.is_file():
            raise TrainingError(f"no teacher detector at {model}; --set second=FILE.onnx names one")
        self._session = open_session(model, device="cpu", precision="fp32", threads=1)
        self._side, self._score = side, score

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Faces in (H, W, 3) RGB uint8."""
        factor, side = self._side / max(pixels.shape[:2]), self._side
        small = cv2.resize(pixels, None, fx=factor, fy=factor)[:side, :side]
        square = np.zeros((side, side, 3), np.uint8)
        square[: small.shape[0], : small.shape[1]] = small
        blob = (square.transpose(2, 0, 1)[None].astype(np.float32) - 127.5) / 128
        outputs = list(self._session.run_all(blob).values())  # scores of each stride, then boxes, landmarks
        found = []
        for level, stride in enumerate(STRIDES):
            mine = zip(outputs[level::3], (1, 4, 10), strict=True)
            score, edges, landmarks = (output.reshape(-1, n) for output, n in mine)
            chosen = np.flatnonzero(score[:, 0] >= self._score)
            cell = chosen // 2  # two anchors a cell
            corner = np.stack([cell % (side // stride), cell // (side // stride)], 1) * stride
            low, high = corner - edges[chosen, :2] * stride, corner + edges[chosen, 2:] * stride
            points = np.tile(corner, 5) + landmarks[chosen] * stride
            found.append(np.hstack([np.hstack([low, high - low, points]) / factor, score[chosen]]))
        return suppress(np.concatenate(found), 0.4)


def add_known(levels: list[np.ndarray], scene: Scene, score: float = 0.9) -> int:
    """Write what the scene knows into the teacher's dense outputs, in place; how many faces it had missed.

    A face is seen when a cell with a score of at least 0.5 has a box of an IoU of 0.4 with it. A missed one
    of `SMALLEST_FACE` pixels or more is written to the 3 x 3 cells around its centre, as the teacher would. A
    seen one keeps the teacher's box and gets the scene's landmarks: the teacher's turn by some 5 degrees with
    a head turned by 30. In parts with leaning, unlisted faces landmarks become NaN.
    """
    height, width = scene.pixels.shape[:2]
    for x, y, w, h in scene.leaning:
        for stride, level in zip(STRIDES, levels, strict=True):
            rows, columns = (
                slice(math.floor(start / stride), math.ceil((start + side) / stride))
                for start, side in ((max(y, 0), h), (max(x, 0), w))
            )
            level[6:, rows, columns] = np.nan
    seen = decode(levels, 0.5)
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


def decode(levels: list[np.ndarray], threshold: float) -> np.ndarray:
    """Dense outputs to every face of at least `threshold`, before suppression."""
    decoded = (
        network.decode(level.reshape(16, -1).T, stride, level.shape[2], threshold)
        for stride, level in zip(STRIDES, levels, strict=True)
    )
    return np.concatenate(list(decoded))


def faces_in(levels: list[np.ndarray], threshold: float) -> np.ndarray:
    """Dense outputs to faces of at least `threshold`, each once, best first."""
    return suppress(decode(levels, threshold), 0.3)


def match(truth: np.ndarray, answer: np.ndarray, overlap: float = 0.5) -> int:
    """How many faces of `truth` are found: one to one, best scores first, at an IoU of at least `overlap`."""
    free = np.ones(len(truth), bool)
    for row in answer[np.argsort(-answer[:, SCORE], kind="stable")]:
        overlaps = np.where(free, iou(row, truth), 0.0)
        if len(overlaps) and overlaps.max() >= overlap:
            free[overlaps.argmax()] = False
    return int((~free).sum())
