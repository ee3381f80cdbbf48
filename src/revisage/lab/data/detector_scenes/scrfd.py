"""SCRFD, a second teacher of the face detector."""

from pathlib import Path

import cv2
import numpy as np

from revisage.errors import TrainingError
from revisage.faces.network import STRIDES
from revisage.lab.data.detector_scenes.targets import Detections, suppress
from revisage.runtime import open_session


class Scrfd:
    """SCRFD (Guo et al., *Sample and Computation Redistribution for Efficient Face Detection*, ICLR 2022) as
    InsightFace runs it: the picture fits `side` x `side` pixels, suppression at an IoU of 0.4.

    Args:
        model: ONNX file as InsightFace publishes it, with landmarks.
        side: a multiple of 32.
        score: least one of an answer.

    Raises TrainingError where the file is not there.
    """

    def __init__(self, model: Path, side: int = 640, score: float = 0.5) -> None:
        if not model.is_file():
            raise TrainingError(f"no teacher detector at {model}; --set second=FILE.onnx names one")
        self._session = open_session(model, device="cpu", precision="fp32", threads=1)
        self._side, self._score = side, score

    def __call__(self, pixels: np.ndarray) -> Detections:
        """Faces in (H, W, 3) RGB uint8."""
        factor, side = self._side / max(pixels.shape[:2]), self._side
        small = cv2.resize(pixels, None, fx=factor, fy=factor)[:side, :side]
        square = np.zeros((side, side, 3), np.uint8)
        square[: small.shape[0], : small.shape[1]] = small
        blob = (square.transpose(2, 0, 1)[None].astype(np.float32) - 127.5) / 128
        outputs = list(self._session.run_all(blob).values())  # scores of each stride, then boxes, landmarks
        boxes, points, scores = [], [], []
        for level, stride in enumerate(STRIDES):
            score, edges, landmarks = (
                outputs[level + 3 * kind].reshape(-1, n) for kind, n in enumerate((1, 4, 10))
            )
            chosen = np.flatnonzero(score[:, 0] >= self._score)
            cell = chosen // 2  # two anchors a cell
            corner = np.stack([cell % (side // stride), cell // (side // stride)], 1) * stride
            low, high = corner - edges[chosen, :2] * stride, corner + edges[chosen, 2:] * stride
            boxes.append(np.concatenate([low, high - low], 1) / factor)
            points.append((corner[:, None] + landmarks[chosen].reshape(-1, 5, 2) * stride) / factor)
            scores.append(score[chosen, 0])
        return suppress(Detections(*map(np.concatenate, (boxes, points, scores))), 0.4)
