"""The detector's network in the layout of YuNet: a picture's dense predictions, and the faces they say.

Per stride and cell: cls and obj, the score being the root of their product; bbox, the centre and the logs
of width and height; kps, five landmarks; places from the cell's corner, all in units of the stride (Wu, Peng
and Yu, *YuNet*, Machine Intelligence Research 2023, as OpenCV's `FaceDetectorYN` reads it).
"""

from pathlib import Path

import cv2
import numpy as np

from revisage.errors import ModelCorruptError, ModelMissingError, UsageError
from revisage.runtime import open_session

STRIDES = (8, 16, 32)
CHANNELS = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
_MOST = 8.0  # largest logarithm of a side: a broken network must not overflow


class Network:
    """One opened network. Many threads may call it at once."""

    def __init__(self, model: Path, *, precision: str = "auto", threads: int | None = None) -> None:
        """Raises ModelMissingError, and ModelCorruptError for what is no detector in this layout."""
        if not Path(model).is_file():
            raise ModelMissingError(f"no face finder at {model}: reinstall, or `revisage models pull` it")
        self._session = open_session(model, device="cpu", precision=precision, threads=threads)
        try:  # a broken file shows now rather than in the middle of a photo
            self.dense(np.zeros((max(STRIDES),) * 2 + (3,), np.uint8))
        except (KeyError, ValueError, UsageError):
            raise ModelCorruptError(
                f"{model} is not a face finder in YuNet's layout: pull it again"
            ) from None

    def dense(self, pixels: np.ndarray) -> list[np.ndarray]:
        """(H, W, 3) RGB uint8 -> per stride (cells, 16) float32: cls, obj, bbox, kps, cells in row order.

        The picture ends on black up to whole cells of the largest stride.
        """
        height, width = pixels.shape[:2]
        below, beside = (-side % max(STRIDES) for side in (height, width))
        whole = cv2.copyMakeBorder(pixels, 0, below, 0, beside, cv2.BORDER_CONSTANT)
        outputs = self._session.run_all(cv2.dnn.blobFromImage(whole, swapRB=True))
        return [
            np.hstack([outputs[f"{kind}_{stride}"].reshape(-1, n) for kind, n in CHANNELS.items()])
            for stride in STRIDES
        ]

    def rows(self, pixels: np.ndarray, threshold: float) -> np.ndarray:
        """(n, 15) every prediction in (H, W, 3) RGB uint8 that scores `threshold` or more, unsuppressed."""
        width = -(-pixels.shape[1] // max(STRIDES)) * max(STRIDES)
        levels = zip(STRIDES, self.dense(pixels), strict=True)
        return np.concatenate([decode(cells, n, width // n, threshold) for n, cells in levels])


def scores(cells: np.ndarray) -> np.ndarray:
    """(cells,) of (cells, 16)."""
    return np.sqrt(np.clip(cells[:, 0], 0, 1) * np.clip(cells[:, 1], 0, 1))


def decode(cells: np.ndarray, stride: int, columns: int, threshold: float) -> np.ndarray:
    """(n, 15) rows of one stride's (cells, 16) that score `threshold` or more."""
    score = scores(cells)
    chosen = np.flatnonzero(score >= threshold)
    corner = np.stack([chosen % columns, chosen // columns], 1).astype(np.float32)
    cells = cells[chosen]
    sides = np.exp(np.minimum(cells[:, 4:6], _MOST)) * stride
    boxes = np.concatenate([(corner + cells[:, 2:4]) * stride - sides / 2, sides], 1)
    points = (cells[:, 6:].reshape(-1, 5, 2) + corner[:, None]).reshape(-1, 10) * stride
    return np.concatenate([boxes, points, score[chosen, None]], 1)
