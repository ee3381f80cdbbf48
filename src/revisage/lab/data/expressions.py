"""Faces labelled with their expression: a folder with one folder of pictures for each."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from revisage.errors import FaceError, TrainingError
from revisage.faces import Face, align, estimate
from revisage.lab.data.pictures import SUFFIXES, held_out, read_picture

EXPRESSIONS = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "angry")
"""The neutral face and the six basic expressions (Ekman, 1992), in the order of the classifier's scores."""

HELD_OUT = 0.15
SAME_PICTURE = 0.97  # correlation of two crops from which they are taken for one picture

Find = Callable[[np.ndarray], list[Face]]

# Where FER2013, 48 px, has the five landmarks, in shares of the side: the median of what the detector gives.
_FER = ((0.32, 0.39), (0.68, 0.39), (0.50, 0.58), (0.36, 0.73), (0.64, 0.73))
_DETECTION_SIDE = 144  # side at which a face is looked for: the detector wants more than 48 px ...
_AROUND = 48  # ... and room around the face


def labelled(folder: Path, *, held: bool) -> list[tuple[Path, int]]:
    """Pictures of FOLDER/EXPRESSION/ with the number of their expression, on one side of the split: held out
    are 15 % by the hash of "expression/stem". Raises TrainingError when an expression has none."""
    rows: list[tuple[Path, int]] = []
    for number, name in enumerate(EXPRESSIONS):
        paths = sorted(p for p in (folder / name).glob("*") if p.suffix.lower() in SUFFIXES)
        chosen = [p for p in paths if held_out(f"{name}/{p.stem}", HELD_OUT) == held]
        if not chosen:
            raise TrainingError(f"no pictures in {folder / name}: give folders {', '.join(EXPRESSIONS)}")
        rows += [(path, number) for path in chosen]
    return rows


def read_crops(paths: list[Path], find: Find, size: int, frame: np.ndarray) -> np.ndarray:
    """The faces as the classifier sees them, (N, size, size) uint8 gray; `frame` (2, 3) maps the FFHQ
    template at 256 px to the crop. A face that is not found is taken to lie as most of FER2013 do."""
    return np.stack([_crop(read_picture(path), find, size, frame) for path in paths])


def without_copies(crops: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(N,) bool: which of `crops` (N, S, S) show none of `others` (M, S, S); FER2013 holds many twice."""
    a, b = (_normalised(pictures) for pictures in (crops, others))
    return (a @ b.T).max(axis=1) < SAME_PICTURE


def _normalised(pictures: np.ndarray) -> np.ndarray:
    rows = pictures.reshape(len(pictures), -1).astype(np.float32)
    rows -= rows.mean(axis=1, keepdims=True)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)


def _crop(picture: np.ndarray, find: Find, size: int, frame: np.ndarray) -> np.ndarray:
    side = np.array(picture.shape[1::-1], np.float64)
    large = cv2.resize(picture, (_DETECTION_SIDE, _DETECTION_SIDE), interpolation=cv2.INTER_CUBIC)
    found = find(cv2.copyMakeBorder(large, *(_AROUND,) * 4, borderType=cv2.BORDER_REPLICATE))
    points = usual = np.array(_FER) * side - 0.5
    if found:
        points = (found[0].landmarks - _AROUND + 0.5) * (side / _DETECTION_SIDE) - 0.5
    try:
        matrix = estimate(points, 256)
    except FaceError:
        matrix = estimate(usual, 256)
    matrix = frame[:, :2] @ matrix + np.column_stack([np.zeros((2, 2)), frame[:, 2]])
    return cv2.cvtColor(align(picture, matrix, size), cv2.COLOR_RGB2GRAY)
