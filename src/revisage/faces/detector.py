"""Faces in a picture of any size, by OpenCV's `FaceDetectorYN` at several scales and a second look."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from revisage.errors import ModelCorruptError, ModelMissingError
from revisage.faces.align import align, invert, place_template, turn_matrix
from revisage.faces.rows import BOX, POINTS, SCORE, iou, mapped, mirrored, suppress
from revisage.faces.windows import Window, scales, windows

_SMALLEST_SIDE = 8  # a picture narrower than this holds no face worth a search
_SMALLEST_FACE = 11  # and a face narrower than this nothing that could be restored
_CANDIDATE = 0.7  # share of the threshold from which a find is worth a second look
_CLOSEUP = 160  # side in pixels of the picture of a second look ...
_AROUND = 2.2  # ... which shows this many times the face's longer side
_LOOK_SCORE = 0.2
_SURE = 0.8  # where a face has this score, the picture is not turned to look for others
_CERTAIN = 0.85  # a find with less must look more like a face as it stands than turned ...
_UPRIGHT = 0.03  # ... by this much of a score
_SAME = 0.3  # least IoU of a find with what a turned look sees of it
_TILTS = (-60, -30, 0, 30, 60)  # degrees at which a head's tilt is looked for; the weight of each is its ...
_SHARPNESS = 8  # ... score to this power
_LEAST_TILT = 10  # degrees; below, the looks say less than the landmarks do
_GLANCE = 1024 * 768  # pixels of the first search of a turned picture
_POINTED = (1.6, 2.2, 3.2)  # how many times its longer side the looks at a given box show
_MOST_LOOKS = 1000
_NEAR_SIDE = 0.25  # share of its width by which a face that is cut may be off the picture's side
_MOST = 5000  # candidates kept in one window

_log_lock = threading.Lock()


class Detector:
    """Finds faces and their five landmarks. One Detector may be shared by many threads.

    The picture is searched whole at three small sizes for large faces, then at growing sizes in overlapping
    tiles for small ones, down to about 16 pixels in a 12-megapixel photo. Every find is looked at again, all
    at one size, straight and mirrored; its score, box and landmarks are the mean of the three, so that a hand
    which resembles a face at one scale is dropped. Where none is sure, the picture is turned by 90, 180 and
    270 degrees as well. Memory is bounded by one scaled copy of the picture and one tile's features.
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
        image = _checked(pixels)
        if min(image.shape[:2]) < _SMALLEST_SIDE:
            return []
        with self._detector() as detector:
            found = self._seen(detector, image)
            if not (found[:, SCORE] >= _SURE).any():
                turned = self._turned(detector, image)
                # Beside a face that stands, one that lies must be sure: photos hold many likenesses.
                found = np.concatenate(
                    [found, *(rows for rows in turned if not len(found) or (rows[:, SCORE] >= _SURE).any())]
                )
        found = suppress(found, self._nms_threshold)
        order = np.argsort(-found[:, 2] * found[:, 3], kind="stable")
        return [_face(found[index]) for index in order]

    def look(self, pixels: np.ndarray, box: tuple[float, float, float, float]) -> Face:
        """The face that somebody sees in a box (x, y, width, height) of such pixels.

        Its landmarks are what the detector sees there, however faintly and however the head is turned; the
        template's, upright, with a score of 0 where it sees nothing.
        """
        image, place = _checked(pixels), np.array(box, np.float32)
        with self._detector() as detector:
            detector.setScoreThreshold(_LOOK_SCORE)
            looks = ((turn, around) for around in _POINTED for turn in (0, 90, 180, 270))
            seen = [rows for look in looks for rows in _sights(detector, image, place, *look)]
        best = _best(np.concatenate(seen), place, self._nms_threshold)
        if not len(best):
            return Face(box, place_template(box), 0.0)
        return replace(_face(best[0]), box=box)

    def _turned(self, detector: cv2.FaceDetectorYN, image: np.ndarray) -> Iterator[np.ndarray]:
        """The finds in the picture turned each other way, in its own places."""
        size = image.shape[1], image.shape[0]
        small = _shrink(image, min(1.0, math.sqrt(_GLANCE / (size[0] * size[1]))))
        for turn in (90, 180, 270):
            if len(found := self._seen(detector, _turn(small, turn))):
                found = found if small is image else self._seen(detector, _turn(image, turn))
                yield mapped(found, invert(turn_matrix(turn, size)))

    def _seen(self, detector: cv2.FaceDetectorYN, image: np.ndarray) -> np.ndarray:
        """(n, 15) faces of the picture as it stands."""
        found = self._search(detector, image)
        found = _look_again(detector, image, found[:_MOST_LOOKS], self._nms_threshold)
        keep = (found[:, SCORE] >= self._score_threshold) & (found[:, 2:4].min(1) >= _SMALLEST_FACE)
        found = suppress(found[keep], self._nms_threshold)
        return np.concatenate([found[:0], *(_settled(detector, image, row) for row in found)])

    def _search(self, detector: cv2.FaceDetectorYN, image: np.ndarray) -> np.ndarray:
        """(n, 15) candidates of all scales, best first, each face once."""
        detector.setScoreThreshold(_CANDIDATE * self._score_threshold)
        rows = []
        for scale in scales(image.shape[1], image.shape[0]):
            scaled = _shrink(image, scale)
            for window in windows(scaled.shape[1], scaled.shape[0], scale):
                rows.append(_through(detector, scaled, window))
        return suppress(np.concatenate(rows), self._nms_threshold)

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


def _turn(image: np.ndarray, turn: int) -> np.ndarray:
    """Clockwise by `turn` degrees, a multiple of 90."""
    return np.ascontiguousarray(np.rot90(image, -turn // 90))


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
    shift = (np.array([window.left, window.top]) + 0.5) / window.scale - 0.5
    return mapped(found, np.column_stack([np.eye(2) / window.scale, shift]))


def _at_sides(
    detector: cv2.FaceDetectorYN, view: np.ndarray, width: int, window: Window
) -> Iterator[np.ndarray]:
    """The finds of one window, seen mirrored, that reach to the left or right side of the scaled picture.

    Strides and padding favour one side: of faces cut in half many are found at the left side only.
    """
    for start, stop in window.sides(width):
        seen = mirrored(_detect(detector, view[:, start:stop][:, ::-1]), stop - start)
        seen = mapped(seen, np.array([[1.0, 0.0, start], [0.0, 1.0, 0.0]]))
        x, w = seen[:, 0], seen[:, 2]
        near = _NEAR_SIDE * w
        at_left, at_right = (window.left == 0) & (x < near), x + w > width - window.left - near
        yield seen[at_left | at_right]


def _look_again(
    detector: cv2.FaceDetectorYN, image: np.ndarray, found: np.ndarray, overlap: float
) -> np.ndarray:
    """Each find as the mean of itself and of what a closer look sees of it, straight and mirrored.

    A look that does not see it counts as a score of 0.
    """
    detector.setScoreThreshold(_LOOK_SCORE)
    again = found.copy()
    for row in again:
        sights = [_best(seen, row[BOX], overlap) for seen in _sights(detector, image, row[BOX], 0, _AROUND)]
        rows = np.concatenate([row[None], *sights])
        row[:] = rows.mean(0)
        row[SCORE] = rows[:, SCORE].sum() / 3
    return again


def _settled(detector: cv2.FaceDetectorYN, image: np.ndarray, row: np.ndarray) -> np.ndarray:
    """(0 or 1, 15) a find with the landmarks of a tilted head tilted as it is, or nothing.

    The detector sees a tilted head as upright. Its tilt is where looks at several turns score best; at that
    turn the landmarks are right. Emblems, leaves and faces that hang upside down look no more like a face
    there than turned by 90, 180 or 270 degrees.
    """
    tilt = _tilt(detector, image, row)
    if not tilt and row[SCORE] >= _CERTAIN:
        return row[None]
    look = _mean_look(detector, image, row, tilt)
    if row[SCORE] < _CERTAIN:
        turned = (_mean_look(detector, image, row, tilt + turn)[SCORE] for turn in (90, 180, 270))
        if look[SCORE] < max(turned) + _UPRIGHT:
            return row[None][:0]
    points = look[POINTS] if tilt and look[SCORE] >= _LOOK_SCORE else row[POINTS]
    return np.concatenate([row[BOX], points, row[SCORE:]])[None]


def _tilt(detector: cv2.FaceDetectorYN, image: np.ndarray, row: np.ndarray) -> float:
    """Degrees by which the head of a find is tilted, 0 where they are few: of most, two looks tell."""
    tilt = 0.0
    for tilts, sides in ((_TILTS[1:4], 1), (_TILTS, 2)):
        looks = [_mean_look(detector, image, row, turn, sides) if turn else row for turn in tilts]
        weights = np.power([look[SCORE] for look in looks], _SHARPNESS)
        tilt = float(np.dot(weights, tilts) / max(weights.sum(), 1e-9))
        if abs(tilt) < _LEAST_TILT * sides / 2:
            return 0.0
    return tilt


def _mean_look(
    detector: cv2.FaceDetectorYN, image: np.ndarray, row: np.ndarray, turn: float, sides: int = 2
) -> np.ndarray:
    """(15,) the mean of what closer looks at a find see with the picture turned clockwise by `turn` degrees,
    straight and with two `sides` mirrored; the score of a look that does not see it is 0."""
    looks = islice(_sights(detector, image, row[BOX], turn, _AROUND), sides)
    rows = np.concatenate([_best(seen, row[BOX], _SAME) for seen in looks])
    mean: np.ndarray = rows.sum(0) / max(len(rows), 1)
    mean[SCORE] = rows[:, SCORE].sum() / sides
    return mean


def _sights(
    detector: cv2.FaceDetectorYN, image: np.ndarray, box: np.ndarray, turn: float, around: float
) -> Iterator[np.ndarray]:
    """The rows that two closer looks at a box (x, y, width, height) give, straight and mirrored.

    They show the picture turned clockwise by `turn` degrees, and `around` times the box's longer side of it.
    """
    factor = _CLOSEUP / (around * max(float(box[2:4].max()), 1.0))
    linear = factor * turn_matrix(turn, (1, 1))[:, :2]
    matrix = np.column_stack([linear, (_CLOSEUP - 1) / 2 - linear @ (box[:2] + box[2:4] / 2)])
    picture, back = align(image, matrix, _CLOSEUP), invert(matrix)
    yield mapped(_detect(detector, picture), back)
    yield mapped(mirrored(_detect(detector, picture[:, ::-1]), _CLOSEUP), back)


def _best(seen: np.ndarray, box: np.ndarray, overlap: float) -> np.ndarray:
    """(0 or 1, 15): of the rows that overlap a box the one with the best score."""
    near = seen[iou(box, seen) > overlap]
    return near[np.argsort(-near[:, SCORE], kind="stable")[:1]]


def _checked(pixels: np.ndarray) -> np.ndarray:
    """(H, W, 3) BGR of a picture of the kinds that are searched."""
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (3,)):
        raise ValueError(f"faces are found in (H, W, 3) uint8, not in {pixels.shape} {pixels.dtype}")
    if 0 in pixels.shape:
        return np.zeros((*pixels.shape[:2], 3), np.uint8)
    code = cv2.COLOR_RGB2BGR if pixels.ndim == 3 else cv2.COLOR_GRAY2BGR
    image: np.ndarray = cv2.cvtColor(np.ascontiguousarray(pixels), code)
    return image


def _face(row: np.ndarray) -> Face:
    x, y, w, h = (float(value) for value in row[BOX])
    return Face((x, y, w, h), row[POINTS].reshape(5, 2).astype(np.float32).copy(), float(row[SCORE]))


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

    def moved(self, matrix: np.ndarray) -> Face:
        """The same face where the similarity `matrix` (2, 3) moves the picture."""
        return _face(mapped(np.array([[*self.box, *self.landmarks.ravel(), self.score]]), matrix)[0])
