"""Heads as portraits have few of: turned aside and bowed; with beards, hats, bonnets, glasses of old."""

from dataclasses import dataclass

import cv2
import numpy as np

GRID = 32  # the map is smooth: it is made at this size and enlarged


@dataclass(frozen=True)
class Head:
    """Half an ellipsoid in front of a picture's plane, in shares of the picture's side."""

    centre: tuple[float, float]
    radii: tuple[float, float, float]  # the last towards the viewer

    def depth(self, points: np.ndarray) -> np.ndarray:
        """How far the surface stands out at (..., 2) points; 0 outside the outline."""
        x, y = np.moveaxis((points - self.centre) / self.radii[:2], -1, 0)
        return self.radii[2] * np.sqrt(np.clip(1 - x * x - y * y, 0, 1)).astype(np.float32)


CROP_HEAD = Head((0.5, 0.5), (0.37, 0.5, 0.36))  # in an aligned crop
PORTRAIT_HEAD = Head((0.5, 0.49), (0.22, 0.29, 0.21))  # in a picture of Labeled Faces in the Wild


def draw_turn(rng: np.random.Generator) -> np.ndarray:
    """(2,): sines of a turn to the side and of a nod, mostly downwards."""
    side = rng.choice([-1, 1]) * np.sin(np.deg2rad(rng.uniform(0, 45)))
    nod = np.sin(np.deg2rad(np.clip(rng.normal(10, 20), -25, 40)))
    return np.array([side, nod], np.float32)


def turn_head(picture: np.ndarray, head: Head, turn: np.ndarray) -> np.ndarray:
    """(S, S, 3) uint8 as if the head in it had turned: a point that stands out by z moves by z times the
    sines in `turn` (2,), as under a parallel projection; the outline stays."""
    side = picture.shape[0]
    axis = (np.arange(GRID, dtype=np.float32) + 0.5) / GRID
    place = np.stack(np.meshgrid(axis, axis), -1)
    origin = place
    for _ in range(16):  # where did what is seen here come from? origin + depth(origin) x turn = place
        origin = 0.5 * (origin + place - head.depth(origin)[..., None] * turn)
    shift = cv2.resize((origin - place).astype(np.float32), (side, side)) * side
    rows, columns = np.indices((side, side), np.float32)
    x, y = columns + shift[..., 0], rows + shift[..., 1]
    return cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)


def turn_points(points: np.ndarray, side: int, head: Head, turn: np.ndarray) -> np.ndarray:
    """Where (..., 2) points in pixels of a picture of that side are after `turn_head`."""
    shares = (points + 0.5) / side
    return ((shares + head.depth(shares)[..., None] * turn) * side - 0.5).astype(np.float32)


Point = tuple[float, float] | np.ndarray
Laid = tuple[np.ndarray, float, float]
"""What is laid on a crop under a mask: its tones, how far it covers, and the pixels of its soft rim."""


def wear(crop: np.ndarray, landmarks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A copy of an aligned crop (S, S, 3) uint8 with one or two of them; landmarks (5, 2) in its pixels."""
    kinds = (_beard, _hat, _bonnet, _glasses)
    apart = float(np.hypot(*(landmarks[1] - landmarks[0])))
    for kind in rng.permutation(len(kinds))[: rng.integers(1, 3)]:
        mask = np.zeros(crop.shape[:2], np.float32)
        over, share, soft = kinds[kind](mask, landmarks, apart, rng)
        alpha = share * cv2.GaussianBlur(mask, (0, 0), max(0.4, soft))[..., None]
        crop = np.clip(crop + alpha * (over - crop), 0, 255).astype(np.uint8)
    return crop


def _beard(mask: np.ndarray, landmarks: np.ndarray, apart: float, rng: np.random.Generator) -> Laid:
    """Whiskers below the mouth, most with a moustache, which hides the lips."""
    mouth, nose, long = landmarks[3:].mean(0), landmarks[2], apart * rng.uniform(0.5, 1.3)
    if rng.random() < 0.8:
        _ellipse(mask, (mouth[0], mouth[1] + 0.8 * long), (apart * rng.uniform(0.55, 1.0), long), 1.0)
        if rng.random() < 0.6:
            _ellipse(mask, mouth, (apart * 0.35, apart * rng.uniform(0.06, 0.14)), 0.0)
    if rng.random() < 0.8:
        _ellipse(mask, 0.45 * nose + 0.55 * mouth, apart * rng.uniform((0.35, 0.1), (0.7, 0.2)), 1.0)
    return _hair(len(mask), rng), rng.uniform(0.75, 1.0), 0.03 * apart


def _hat(mask: np.ndarray, landmarks: np.ndarray, apart: float, rng: np.random.Generator) -> Laid:
    """A brim across the forehead, and what stands on it up to the picture's edge and beyond."""
    eyes = landmarks[:2].mean(0)
    top = eyes[1] - apart * rng.uniform(0.55, 1.1)
    wide, flare = apart * rng.uniform(0.85, 1.25), rng.uniform(0.75, 1.2)
    high = apart * rng.uniform(0.6, 2.5)
    crown = [(-wide, 0), (wide, 0), (wide * flare, -high), (-wide * flare, -high)]
    cv2.fillPoly(mask, [np.int32(np.add(crown, (eyes[0], top)))], 1.0)
    if rng.random() < 0.8:
        _ellipse(mask, (eyes[0], top), apart * rng.uniform((1.2, 0.12), (2.3, 0.4)), 1.0)
    return _cloth(len(mask), rng), rng.uniform(0.9, 1.0), 0.02 * apart


def _bonnet(mask: np.ndarray, landmarks: np.ndarray, apart: float, rng: np.random.Generator) -> Laid:
    """Cloth all around the face, as of a bonnet, hood or veil; hair, as well."""
    middle, inner = landmarks.mean(0), apart * rng.uniform((0.95, 1.35), (1.25, 1.7))
    _ellipse(mask, middle, inner + apart * rng.uniform(0.25, 1.0), 1.0)
    _ellipse(mask, np.add(middle, (0, apart * rng.uniform(0, 0.4))), inner, 0.0)
    return _cloth(len(mask), rng), rng.uniform(0.8, 1.0), 0.04 * apart


def _glasses(mask: np.ndarray, landmarks: np.ndarray, apart: float, rng: np.random.Generator) -> Laid:
    size = apart * rng.uniform((0.3, 0.25), (0.45, 0.4))
    thick = max(1, round(apart * rng.uniform(0.02, 0.08)))
    if rng.random() < 0.2:
        thick = -1
    for eye in landmarks[:2]:
        _ellipse(mask, eye, size, 1.0, thick)
    ends = [np.int32(np.round(landmarks[side] + ((1, -1)[side] * size[0], 0))) for side in (0, 1)]
    cv2.line(mask, ends[0].tolist(), ends[1].tolist(), 1.0, max(1, thick))
    return np.full((1, 1, 3), rng.choice([20.0, 40.0, 200.0]), np.float32), rng.uniform(0.6, 1), 0.5


def _ellipse(mask: np.ndarray, middle: Point, axes: Point, value: float, thick: int = -1) -> None:
    centre, size = (tuple(round(float(v)) for v in pair) for pair in (middle, axes))
    cv2.ellipse(mask, centre, size, 0, 0, 360, value, thick, cv2.LINE_AA)


def _hair(size: int, rng: np.random.Generator) -> np.ndarray:
    """(size, size, 3): strands that run down, of any tone from black to white."""
    strands = rng.normal(0, 1, (max(2, size // int(rng.integers(8, 24))), size)).astype(np.float32)
    tone = rng.uniform(15, 230) * np.array([1.0, rng.uniform(0.85, 1.0), rng.uniform(0.7, 1.0)])
    return tone + rng.uniform(5, 35) * cv2.resize(strands, (size, size))[..., None]


def _cloth(size: int, rng: np.random.Generator) -> np.ndarray:
    """(size, size, 3): felt, straw or linen with soft folds."""
    folds = rng.normal(0, 1, (int(rng.integers(2, 6)), int(rng.integers(2, 12)))).astype(np.float32)
    tone = rng.choice([rng.uniform(10, 70), rng.uniform(70, 245)]) + rng.normal(0, 10, 3)
    shade = cv2.resize(folds, (size, size), interpolation=cv2.INTER_CUBIC)[..., None] * rng.uniform(3, 25)
    return tone + shade + rng.normal(0, rng.uniform(0, 8), (size, size, 1))
