"""The similarity between a face in a picture and its crop on the FFHQ template, both ways."""

import math
from collections.abc import Iterable

import cv2
import numpy as np

from revisage.errors import FaceError

# Right eye, left eye, nose, right and left mouth corner of an FFHQ picture at 512 px: the mean landmarks that
# GFPGAN and facexlib align to. The mean of the landmarks of aligned FFHQ-style crops is within 3 px of it.
_FFHQ_512 = (
    (192.98138, 239.94708), (318.90277, 240.1936), (256.63416, 314.01935), (201.26117, 371.41043),
    (313.08905, 371.15118),
)  # fmt: skip
BOX_256 = (59.0, 46.4, 138.0, 187.7)
"""Of a face in its crop at 256 px, x, y, width, height: the median of YuNet's on such crops."""
# Five points of a face seen from any side follow the template's variance by well over half; points in
# another order, or scattered ones, do not.
_LEAST_EXPLAINED = 0.2


def template(size: int) -> np.ndarray:
    """(5, 2) float32: where the five landmarks lie in a crop of `size` x `size` pixels."""
    if size < 1:
        raise ValueError(f"the size of a crop must be at least 1, got {size}")
    return (np.array(_FFHQ_512) * (size / 512)).astype(np.float32)


def estimate(landmarks: np.ndarray, size: int) -> np.ndarray:
    """(2, 3) float64 similarity (turn, scale, shift) from picture to crop, least squares over five landmarks.

    Umeyama, *Least-squares estimation of transformation parameters between two point patterns*, TPAMI 1991;
    in the plane, points as complex numbers, its solution without reflection is one division.

    Raises FaceError when the landmarks are not finite, coincide, or do not lie like a face's.
    """
    points = np.asarray(landmarks, np.float64)
    if points.shape != (5, 2):
        raise ValueError(f"five landmarks (5, 2) are needed, got shape {points.shape}")
    if not np.isfinite(points).all():
        raise FaceError("the landmarks of this face are not finite numbers")
    source = points[:, 0] + 1j * points[:, 1]
    target = template(size).astype(np.float64) @ np.array([1, 1j])
    source_mean, target_mean = source.mean(), target.mean()
    source, target = source - source_mean, target - target_mean
    spread = float((np.abs(source) ** 2).sum())
    if spread < 1e-3:
        raise FaceError("the landmarks of this face coincide: it is too small to align")
    factor = np.vdot(source, target) / spread
    explained = abs(factor) ** 2 * spread / float((np.abs(target) ** 2).sum())
    if explained < _LEAST_EXPLAINED:
        raise FaceError("the landmarks of this face do not lie like a face's")
    shift = target_mean - factor * source_mean
    return np.array([[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]])


def invert(matrix: np.ndarray) -> np.ndarray:
    """The (2, 3) float64 transform back: crop -> picture. Raises FaceError when there is none."""
    linear = np.asarray(matrix, np.float64)[:, :2]
    determinant = linear[0, 0] * linear[1, 1] - linear[0, 1] * linear[1, 0]
    if not math.isfinite(determinant) or abs(determinant) < 1e-12:
        raise FaceError("the transform of this face cannot be inverted")
    inverse = np.array([[linear[1, 1], -linear[0, 1]], [-linear[1, 0], linear[0, 0]]]) / determinant
    return np.column_stack([inverse, -inverse @ matrix[:, 2]])


def turn_matrix(degrees: float, size: tuple[int, int]) -> np.ndarray:
    """(2, 3) float64: from a picture of `size` (width, height) to it turned clockwise, its corner at 0, 0."""
    angle = math.radians(degrees)
    c, s = (round(value, 15) for value in (math.cos(angle), math.sin(angle)))  # quarter turns are exact
    linear = np.array([[c, -s], [s, c]])
    end = np.array(size) - 1.0
    corners = np.array([(0, 0), (end[0], 0), (0, end[1]), end]) @ linear.T
    return np.column_stack([linear, -corners.min(0)])


def upright(landmarks: Iterable[np.ndarray]) -> int:
    """By how many degrees a picture would have to be turned clockwise for most of its faces, each (5, 2), to
    stand upright: 0, 90, 180 or 270."""
    votes = [0, 0, 0, 0]
    for points in landmarks:
        try:
            matrix = estimate(points, 256)
        except FaceError:
            continue
        votes[round(math.degrees(math.atan2(matrix[1, 0], matrix[0, 0])) / 90) % 4] += 1
    return 90 * votes.index(max(votes))


def place_template(box: tuple[float, float, float, float]) -> np.ndarray:
    """(5, 2) float32: where the landmarks of an upright face lie whose box is x, y, width, height."""
    x, y, w, h = box
    scale = (w / BOX_256[2] + h / BOX_256[3]) / 2
    middle = np.array([x + w / 2, y + h / 2])
    own = np.array([BOX_256[0] + BOX_256[2] / 2, BOX_256[1] + BOX_256[3] / 2])
    return (middle + scale * (template(256) - own)).astype(np.float32)


def align(pixels: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """The face's crop, (size, size, C) of the picture's dtype (uint8, uint16 or float32).

    `pixels` (H, W, C), `matrix` (2, 3) from picture to crop, pixel centres at whole numbers. A face larger
    than the crop is averaged down first, so fine texture does not alias; beyond the picture's edge the
    picture is mirrored, as in FFHQ.
    """
    inverse = invert(matrix)
    scale = math.sqrt(abs(np.linalg.det(np.asarray(matrix, np.float64)[:, :2])))
    corners = np.array([[-0.5, -0.5], [size, -0.5], [-0.5, size], [size, size]])
    corners = corners @ inverse[:, :2].T + inverse[:, 2]
    height, width = pixels.shape[:2]
    margin = 2 + 2 / scale
    left, right = _span(corners[:, 0], margin, width)
    top, bottom = _span(corners[:, 1], margin, height)
    part = np.ascontiguousarray(pixels[top:bottom, left:right])
    local = np.asarray(matrix, np.float64).copy()
    local[:, 2] += local[:, :2] @ (left, top)
    if scale < 0.85:
        part_size = max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale))
        ratio = np.array([part.shape[1] / part_size[0], part.shape[0] / part_size[1]])
        part = cv2.resize(part, part_size, interpolation=cv2.INTER_AREA)
        local[:, 2] += local[:, :2] @ ((ratio - 1) / 2)
        local[:, :2] *= ratio
    # Not BORDER_REFLECT_101: with cubic interpolation it never returns on a part one pixel wide (OpenCV 5.0).
    crop = cv2.warpAffine(part, local, (size, size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    if crop.dtype.kind == "f":  # cubic interpolation overshoots; integers saturate by themselves
        crop = np.clip(crop, part.min(), part.max())
    return crop.reshape(size, size, *pixels.shape[2:])


def _span(values: np.ndarray, margin: float, length: int) -> tuple[int, int]:
    """The whole pixels from the least to the greatest value, widened by `margin`, within [0, length).

    At least one pixel; where the span reaches over an edge by d it also holds the d pixels to mirror.
    """
    low, high = float(values.min()) - margin, float(values.max()) + margin
    low, high = min(low, 2 * length - high), max(high, -low)
    start = min(max(math.floor(low), 0), length - 1)
    return start, min(max(math.ceil(high) + 1, start + 1), length)
