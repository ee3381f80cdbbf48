"""Faces in a picture of any size, by OpenCV's `FaceDetectorYN` at several scales and a second look."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from revisage.errors import ModelCorruptError, ModelMissingError
from revisage.faces.align import align
from revisage.faces.windows import Window, scales, windows

_SMALLEST_SIDE = 8  # a picture narrower than this holds no face worth a search
_SMALLEST_FACE = 11  # and a face narrower than this nothing that could be restored
_CANDIDATE = 0.7  # share of the threshold from which a find is worth a second look
_CLOSEUP = 160  # side in pixels of the picture of a second look ...
_AROUND = 2.2  # ... which shows this many times the face's longer side
_LOOK_SCORE = 0.2
_MOST_LOOKS = 1000
_NESTED = 0.7  # of two boxes, one inside the other by this share of its area, the better stays
_NEAR_SIDE = 0.25  # share of its width by which a face that is cut may be off the picture's side
_MOST = 5000  # candidates kept in one window
_BOX, _POINTS, _SCORE = slice(0, 4), slice(4, 14), 14  # columns of a row that `FaceDetectorYN` answers

_log_lock = threading.Lock()


class Detector:
    """Finds faces and their five landmarks. One Detector may be shared by many threads.

    The picture is searched whole at two small sizes for large faces, then at growing sizes in overlapping
    tiles for small ones, down to about 16 pixels in a 12-megapixel photo. Every find is looked at again, all
    at one size, straight and mirrored; its score, box and landmarks are the mean of the three, so that a hand
    which resembles a face at one scale is dropped. Memory is bounded by one scaled copy of the picture and
    one tile's features.
    """

    def __init__(self, model: Path, *, score_threshold: float = 0.7, nms_threshold: float = 0.3) -> None:
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
        with self._detector() as detector:
            found = self._search(detector, image)
            found = _look_again(detector, image, found[:_MOST_LOOKS], self._nms_threshold)
        found = found[(found[:, _SCORE] >= self._score_threshold) & (found[:, 2:4].min(1) >= _SMALLEST_FACE)]
        found = _suppress(found, self._nms_threshold)
        order = np.argsort(-found[:, 2] * found[:, 3], kind="stable")
        return [_face(found[index]) for index in order]

    def _search(self, detector: cv2.FaceDetectorYN, image: np.ndarray) -> np.ndarray:
        """(n, 15) candidates of all scales, best first, each face once."""
        detector.setScoreThreshold(_CANDIDATE * self._score_threshold)
        rows = []
        for scale in scales(image.shape[1], image.shape[0]):
            scaled = _shrink(image, scale)
            for window in windows(scaled.shape[1], scaled.shape[0], scale):
                rows.append(_through(detector, scaled, window))
        return _suppress(np.concatenate(rows), self._nms_threshold)

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
                    str(self._model),
                    "",
                    (_CLOSEUP, _CLOSEUP),
                    self._score_threshold,
                    self._nms_threshold,
                    _MOST,
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


def _shrink(image: np.ndarray, scale: float) -> np.ndarray:
    if scale == 1:
        return image
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    smaller: np.ndarray = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return smaller


def _detect(detector: cv2.FaceDetectorYN, image: np.ndarray) -> np.ndarray:
    """(n, 15) rows: box, landmarks, score."""
    detector.setInputSize((image.shape[1], image.shape[0]))
    found = detector.detect(np.ascontiguousarray(image))[1]
    if found is None:
        return np.zeros((0, 15), np.float32)
    whole: np.ndarray = found[np.isfinite(found).all(1)]
    return whole


def _through(detector: cv2.FaceDetectorYN, scaled: np.ndarray, window: Window) -> np.ndarray:
    """The finds of one window, in pixels of the unscaled picture."""
    right, bottom = window.left + window.width, window.top + window.height
    view = scaled[window.top : bottom, window.left : right]
    found = np.concatenate([_detect(detector, view), *_at_sides(detector, view, scaled.shape[1], window)])
    found = found[window.own(found, scaled.shape[1], scaled.shape[0])]
    # Pixel centres: p there is (p + 0.5) / scale - 0.5 here.
    return _mapped(found, 1 / window.scale, (np.array([window.left, window.top]) + 0.5) / window.scale - 0.5)


def _at_sides(
    detector: cv2.FaceDetectorYN, view: np.ndarray, width: int, window: Window
) -> Iterator[np.ndarray]:
    """The finds of one window, seen mirrored, that reach to the left or right side of the scaled picture.

    Strides and padding favour one side: of faces cut in half many are found at the left side only.
    """
    for start, stop in window.sides(width):
        seen = _mirrored(_detect(detector, view[:, start:stop][:, ::-1]), stop - start)
        seen = _mapped(seen, 1, np.array([start, 0]))
        x, w = seen[:, 0], seen[:, 2]
        near = _NEAR_SIDE * w
        at_left, at_right = (window.left == 0) & (x < near), x + w > width - window.left - near
        yield seen[at_left | at_right]


def _mapped(rows: np.ndarray, factor: float, shift: np.ndarray) -> np.ndarray:
    """Rows with every place p (x, y) moved to factor x p + shift, and the box's size scaled."""
    rows = rows.copy()
    rows[:, :14] *= factor
    rows[:, 0:2] += shift
    rows[:, _POINTS] += np.tile(shift, 5)
    return rows


def _look_again(
    detector: cv2.FaceDetectorYN, image: np.ndarray, found: np.ndarray, overlap: float
) -> np.ndarray:
    """Each find as the mean of itself and of what a closer look sees of it, straight and mirrored.

    A look that does not see it counts as a score of 0.
    """
    detector.setScoreThreshold(_LOOK_SCORE)
    again = found.copy()
    for row in again:
        centre, side = row[:2] + row[2:4] / 2, _AROUND * max(float(row[2:4].max()), 1.0)
        factor = _CLOSEUP / side
        shift = (_CLOSEUP - 1) / 2 - factor * centre.astype(np.float64)
        matrix = np.array([[factor, 0.0, shift[0]], [0.0, factor, shift[1]]])
        picture = align(image, matrix, _CLOSEUP)
        sights = []
        for mirrored in (False, True):
            seen = _detect(detector, picture[:, ::-1] if mirrored else picture)
            if mirrored:
                seen = _mirrored(seen, _CLOSEUP)
            seen = _mapped(seen, 1 / factor, -shift / factor)
            near = _iou(row[_BOX], seen[:, _BOX]) > overlap
            if near.any():
                sights.append(seen[near][seen[near][:, _SCORE].argmax()])
        score = (row[_SCORE] + sum(float(sight[_SCORE]) for sight in sights)) / 3
        row[:] = np.mean([row, *sights], axis=0)
        row[_SCORE] = score
    return again


def _mirrored(rows: np.ndarray, width: int) -> np.ndarray:
    """Rows of a mirrored look, `width` pixels wide, in the coordinates of the straight one; right and left
    change names."""
    rows = rows.copy()
    rows[:, 0] = width - 1 - rows[:, 0] - rows[:, 2]
    points = rows[:, _POINTS].reshape(-1, 5, 2)[:, [1, 0, 2, 4, 3]]
    points[..., 0] = width - 1 - points[..., 0]
    rows[:, _POINTS] = points.reshape(-1, 10)
    return rows


def _iou(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    shared = _shared(box, others)
    share: np.ndarray = shared / np.maximum(box[2:4].prod() + others[:, 2:4].prod(1) - shared, 1e-9)
    return share


def _shared(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    low = np.maximum(box[:2], others[:, :2])
    high = np.minimum(box[:2] + box[2:4], others[:, :2] + others[:, 2:4])
    area: np.ndarray = np.clip(high - low, 0, None).prod(1)
    return area


def _suppress(found: np.ndarray, overlap: float) -> np.ndarray:
    """Each face once, best first: later boxes that overlap an earlier one, or nest with it, are dropped."""
    found = found[np.lexsort((found[:, 1], found[:, 0], -found[:, _SCORE]))]
    area = found[:, 2:4].prod(1)
    kept: list[int] = []
    for index, row in enumerate(found):
        nested = _shared(row, found[kept]) / np.maximum(np.minimum(area[kept], area[index]), 1e-9)
        if not ((_iou(row, found[kept]) > overlap) | (nested > _NESTED)).any():
            kept.append(index)
    return found[kept]


def _face(row: np.ndarray) -> Face:
    x, y, w, h = (float(value) for value in row[_BOX])
    return Face((x, y, w, h), row[_POINTS].reshape(5, 2).astype(np.float32).copy(), float(row[_SCORE]))


@dataclass(frozen=True, eq=False)
class Face:
    """One face in a picture, in the picture's pixels.

    Attributes:
        box: x, y, width, height; it may reach over the picture's edge.
        landmarks: (5, 2) float32 x, y: right eye, left eye, nose, right and left mouth corner. Right is the
            person's right, which is left in the picture.
        score: confidence in [0, 1].
    """

    box: tuple[float, float, float, float]
    landmarks: np.ndarray
    score: float
