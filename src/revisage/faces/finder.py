"""Faces in a picture of any size, by OpenCV's `FaceDetectorYN` at several scales."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from revisage.errors import ModelCorruptError, ModelMissingError
from revisage.faces.face import Face

_SMALLEST_SIDE = 8  # a picture narrower than this holds no face worth a search
_SMALL = 224  # long side of the coarsest search, for faces that fill the picture
_WHOLE = 640  # long side of the search of a large picture as a whole
_STEP = 4.0  # largest factor between two searches: from some 20 pixels up a face is found at the coarser one
_LONGEST = 4096  # long side of the finest search; a 12-megapixel photo is searched pixel by pixel
_TILE = 768
_OVERLAP = 96
# In a tile only faces up to this many pixels are asked for: they fit the overlap of two tiles, and larger
# ones were found at the coarser scale.
_LARGEST_IN_TILE = 88
_NESTED = 0.7  # of two boxes, one inside the other by this share of its area, the better stays
_MOST = 5000  # candidates kept per search, before suppression

_log_lock = threading.Lock()


@dataclass(frozen=True)
class _Window:
    """A rectangle of the picture scaled by `scale`: left, top, width, height there. Whole: all of it."""

    scale: float
    left: int
    top: int
    width: int
    height: int
    whole: bool


class Finder:
    """Finds faces and their five landmarks. One Finder may be shared by many threads.

    The picture is searched whole at two small sizes for large faces, then at growing sizes in overlapping
    tiles for small ones, down to about 16 pixels in a 12-megapixel photo. Memory is bounded by one scaled
    copy of the picture and one tile's features.
    """

    def __init__(self, model: Path, *, score_threshold: float = 0.6, nms_threshold: float = 0.3) -> None:
        """`model`: ONNX in the layout of `FaceDetectorYN`.

        Raises ModelMissingError when the file is not there, ModelCorruptError when OpenCV cannot read it.
        """
        if not 0 < score_threshold < 1 or not 0 < nms_threshold < 1:
            raise ValueError("score_threshold and nms_threshold must lie between 0 and 1")
        self._model = Path(model)
        self._score_threshold = score_threshold
        self._nms_threshold = nms_threshold
        self._idle: list[cv2.FaceDetectorYN] = []
        self._lock = threading.Lock()
        if not self._model.is_file():
            raise ModelMissingError(
                f"no face finder at {self._model}: reinstall, or `revisage models pull` it"
            )
        with self._detector():
            pass  # a broken file shows now rather than in the middle of a photo

    def find(self, pixels: np.ndarray) -> list[Face]:
        """Faces in (H, W, 3) RGB uint8, or (H, W) gray, largest first; the same each time."""
        if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (3,)):
            raise ValueError(f"faces are found in (H, W, 3) uint8, not in {pixels.shape} {pixels.dtype}")
        if min(pixels.shape[:2]) < _SMALLEST_SIDE:
            return []
        code = cv2.COLOR_RGB2BGR if pixels.ndim == 3 else cv2.COLOR_GRAY2BGR
        image = cv2.cvtColor(np.ascontiguousarray(pixels), code)
        rows = []
        with self._detector() as detector:
            for scale in _scales(image.shape[1], image.shape[0]):
                scaled = _shrink(image, scale)
                for window in _windows(scaled.shape[1], scaled.shape[0], scale):
                    rows.append(_search(detector, scaled, window))
        found = _suppress(np.concatenate(rows), self._nms_threshold)
        order = np.argsort(-found[:, 2] * found[:, 3], kind="stable")
        return [_face(found[index]) for index in order]

    @contextmanager
    def _detector(self) -> Iterator[cv2.FaceDetectorYN]:
        """A detector of this thread's own for the while: `FaceDetectorYN` keeps state between its calls."""
        with self._lock:
            detector = self._idle.pop() if self._idle else None
        if detector is None:
            detector = self._open()
        yield detector
        with self._lock:  # not after an exception: a detector that failed is not used again
            self._idle.append(detector)

    def _open(self) -> cv2.FaceDetectorYN:
        try:
            with _quiet():
                return cv2.FaceDetectorYN.create(
                    str(self._model), "", (320, 320), self._score_threshold, self._nms_threshold, _MOST
                )
        except cv2.error:
            raise ModelCorruptError(
                f"{self._model} is not a face finder OpenCV can read: pull it again"
            ) from None


@contextmanager
def _quiet() -> Iterator[None]:
    """OpenCV 5 warns on stderr about a target nobody asked for, whenever a network is opened."""
    with _log_lock:
        level = cv2.utils.logging.getLogLevel()
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
        try:
            yield
        finally:
            cv2.utils.logging.setLogLevel(level)


def _scales(width: int, height: int) -> list[float]:
    """Factors at which a picture is searched, each 1 or less, ascending."""
    longest = max(width, height)
    finest = min(longest, _LONGEST)
    steps = math.ceil(math.log(finest / _WHOLE, _STEP)) if finest > _TILE else 0
    sides = [finest * (_WHOLE / finest) ** (step / steps) for step in range(steps, 0, -1)] + [float(finest)]
    if sides[0] > _SMALL:
        sides.insert(0, float(_SMALL))
    return [side / longest for side in sides]


def _shrink(image: np.ndarray, scale: float) -> np.ndarray:
    if scale == 1:
        return image
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _windows(width: int, height: int, scale: float) -> list[_Window]:
    """The whole picture when it is small enough, else tiles that overlap."""
    if max(width, height) <= _TILE:
        return [_Window(scale, 0, 0, width, height, True)]
    return [
        _Window(scale, left, top, min(_TILE, width), min(_TILE, height), False)
        for top in _starts(height)
        for left in _starts(width)
    ]


def _starts(length: int) -> list[int]:
    """Where tiles begin along a side: evenly spread, overlapping by at least `_OVERLAP`."""
    if length <= _TILE:
        return [0]
    count = -(-(length - _OVERLAP) // (_TILE - _OVERLAP))
    return [round(index * (length - _TILE) / (count - 1)) for index in range(count)]


def _search(detector: cv2.FaceDetectorYN, scaled: np.ndarray, window: _Window) -> np.ndarray:
    """(n, 15) rows of `FaceDetectorYN` in the picture's own pixels: box, landmarks, score."""
    right, bottom = window.left + window.width, window.top + window.height
    detector.setInputSize((window.width, window.height))
    found = detector.detect(np.ascontiguousarray(scaled[window.top : bottom, window.left : right]))[1]
    if found is None:
        return np.zeros((0, 15), np.float32)
    found = found[np.isfinite(found).all(1)]
    if not window.whole:
        found = found[_own(found, window, scaled.shape[1], scaled.shape[0])]
    found[:, 0:14:2] += window.left * (np.arange(7) != 1)  # x of the box and landmarks, but not its width
    found[:, 1:14:2] += window.top * (np.arange(7) != 1)
    # Pixel centres: x of the picture is (x + 0.5) / scale - 0.5; a box's corner moves with its centre.
    found[:, :14] /= window.scale
    found[:, 4:14] += 0.5 / window.scale - 0.5
    found[:, :2] += 0.5 / window.scale - 0.5
    return found


def _own(found: np.ndarray, window: _Window, width: int, height: int) -> np.ndarray:
    """Which finds count: not those a tile's inner edge cuts, nor those a coarser scale is better at."""
    x, y, w, h = found[:, :4].T
    keep = np.maximum(w, h) <= _LARGEST_IN_TILE
    if window.left > 0:
        keep &= x > 1
    if window.top > 0:
        keep &= y > 1
    if window.left + window.width < width:
        keep &= x + w < window.width - 1
    if window.top + window.height < height:
        keep &= y + h < window.height - 1
    return keep


def _suppress(found: np.ndarray, overlap: float) -> np.ndarray:
    """Each face once, over all windows: best score first, later boxes that overlap or nest are dropped."""
    found = found[np.lexsort((found[:, 1], found[:, 0], -found[:, 14]))]
    low, high = found[:, :2], found[:, :2] + found[:, 2:4]
    area = found[:, 2:4].prod(1)
    kept: list[int] = []
    for index in range(len(found)):
        sides = np.minimum(high[kept], high[index]) - np.maximum(low[kept], low[index])
        shared = np.clip(sides, 0, None).prod(1)
        iou = shared / np.maximum(area[kept] + area[index] - shared, 1e-9)
        nested = shared / np.maximum(np.minimum(area[kept], area[index]), 1e-9)
        if not ((iou > overlap) | (nested > _NESTED)).any():
            kept.append(index)
    return found[kept]


def _face(row: np.ndarray) -> Face:
    x, y, w, h = (float(value) for value in row[:4])
    return Face((x, y, w, h), row[4:14].reshape(5, 2).astype(np.float32).copy(), float(row[14]))
