"""Aligned faces laid into a scene under a soft mask of varying shape, size, turn and light."""

from dataclasses import dataclass, field

import cv2
import numpy as np

from revisage.faces.align import BOX_256
from revisage.lab.data.detector_scenes import heads
from revisage.lab.data.detector_scenes.source import CROP, THUMBNAIL, Source, read

TURNED = 0.35  # share of heads that are turned to the side or bowed
WORN = 0.35  # share of pasted heads with a beard, a hat or the like


@dataclass(eq=False)
class Scene:
    """A picture and the faces that were put in. It is composed in place.

    `pixels` (S, S, 3) RGB uint8; `boxes` (n, 4) x, y, w, h in pixels; `landmarks` (n, 5, 2) in
    `revisage.faces.Face` order. Pictures without known landmarks bring faces that are not listed: `complete`
    says whether the list has every face that was put in. `leaning` (m, 4), boxes likewise, are parts with
    unlisted faces that were turned in the picture, which detectors' landmarks hardly follow.
    """

    pixels: np.ndarray
    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4)))
    landmarks: np.ndarray = field(default_factory=lambda: np.zeros((0, 5, 2)))
    complete: bool = True
    kind: str = ""
    leaning: np.ndarray = field(default_factory=lambda: np.zeros((0, 4)))

    def add(self, box: np.ndarray, landmarks: np.ndarray) -> None:
        """List one more face, (4,) and (5, 2)."""
        self.boxes = np.vstack((self.boxes, box))
        self.landmarks = np.concatenate((self.landmarks, landmarks[None]))

    def free(self, box: np.ndarray, margin: float) -> bool:
        """Whether a face of that box, widened by `margin` of its size, would touch no earlier one."""
        corner, size = box[:2], box[2:]
        low, high = self.boxes[:, :2], self.boxes[:, :2] + self.boxes[:, 2:]
        apart = (corner - margin * size > high) | (low > corner + size + margin * size)
        return bool(apart.any(1).all())


def tone(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another exposure, contrast and tint."""
    table = np.arange(256)[:, None] / 255.0
    gain = rng.normal(1.0, 0.12) * (1 + rng.normal(0, 0.05, 3))
    table = np.clip((table - 0.5) * gain + 0.5 + rng.normal(0, 0.07), 0, 1) ** np.exp(rng.normal(0, 0.2))
    table = np.rint(table * 255).astype(np.uint8).reshape(256, 1, 3)
    return cv2.LUT(np.ascontiguousarray(pixels), table)


def moved_box(matrix: np.ndarray) -> np.ndarray:
    """(4,) the upright box of `BOX_256` after the similarity `matrix` (2, 3) from crop to scene."""
    x, y, w, h = BOX_256
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    cx, cy = matrix @ np.array([x + w / 2, y + h / 2, 1.0])
    turn = abs(float(np.arctan2(matrix[1, 0], matrix[0, 0])))
    # A turned face's upright box is wider and lower than the turned box is.
    width = scale * (w * np.cos(turn) + 0.6 * h * np.sin(turn))
    height = scale * (h * np.cos(turn) + 0.6 * w * np.sin(turn))
    return np.array([cx - width / 2, cy - height / 2, width, height])


def similarity(scale: float, degrees: float) -> np.ndarray:
    """(2, 2) that enlarges and turns."""
    angle = np.deg2rad(degrees)
    return scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def paste_face(
    scene: Scene, source: Source, rng: np.random.Generator, height: float, centre: np.ndarray | None = None
) -> None:
    """One aligned crop, its face `height` px high, under a soft mask; none where no place is free."""
    size = scene.pixels.shape[0]
    index = int(rng.integers(len(source.faces)))
    # Mostly turned slightly, sometimes a face that nearly lies on its side.
    turn = rng.normal(0, 10) if rng.random() < 0.7 else rng.uniform(-60, 60)
    scale, lowest = height / BOX_256[3], min(height * 0.4, size / 2)
    linear = similarity(scale, turn)
    middle = np.array([BOX_256[0] + BOX_256[2] / 2, BOX_256[1] + BOX_256[3] / 2])
    drawn = (rng.uniform(lowest, size - lowest, 2) for _ in range(6))
    for place in drawn if centre is None else [centre]:
        matrix = np.column_stack([linear, place - linear @ middle])
        box = moved_box(matrix)
        if scene.free(box, 0.05):
            break
    else:
        return
    crop = source.thumbnails[index] if scale * CROP < THUMBNAIL / 1.3 else read(source.faces[index])
    crop, points = turned(crop, source.landmarks[index], rng)
    mask = _mask(rng)
    _blend(scene.pixels, tone(crop, rng), mask, matrix, rng)
    scene.add(box, points @ linear.T.astype(np.float32) + matrix[:, 2].astype(np.float32))


def fill_with_face(scene: Scene, source: Source, rng: np.random.Generator) -> None:
    """One aligned crop that fills the scene or more, without any mask."""
    size = scene.pixels.shape[0]
    index = int(rng.integers(len(source.faces)))
    degrees = rng.normal(0, 8)
    linear = similarity(size / CROP * rng.uniform(0.95, 1.6), degrees)
    place = rng.normal(size / 2, size * 0.08, 2)
    matrix = np.column_stack([linear, place - linear @ np.full(2, CROP / 2)])
    crop, points = turned(read(source.faces[index]), source.landmarks[index], rng)
    crop = tone(crop, rng)
    border = cv2.BORDER_REFLECT_101 if rng.random() < 0.5 else cv2.BORDER_REPLICATE
    scene.pixels = cv2.warpAffine(crop, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=border)
    scene.add(moved_box(matrix), points @ linear.T + matrix[:, 2])


def turned(crop: np.ndarray, points: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """An aligned crop of any size and its landmarks in the 256 px crop, now and then with the head turned or
    with a beard, a hat or the like."""
    if rng.random() < WORN:
        crop = heads.wear(crop, points * (crop.shape[0] / CROP), rng)
    if rng.random() >= TURNED:
        return crop, points
    turn, head = heads.draw_turn(rng), heads.CROP_HEAD
    return heads.turn_head(crop, head, turn), heads.turn_points(points, CROP, head, turn)


def _mask(rng: np.random.Generator) -> np.ndarray:
    """(64, 64) float32 in [0, 1]: superellipse, head and shoulders or nearly all, with a soft rim."""
    y, x = np.mgrid[0:64, 0:64].astype(np.float32) / 63.0
    shape = rng.random()
    power = rng.uniform(2, 5)
    cx, cy = rng.normal(0.5, 0.02), rng.normal(0.52, 0.03)
    rx, ry = rng.uniform(0.32, 0.48), rng.uniform(0.4, 0.5)
    soft = rng.uniform(0.04, 0.25)
    distance = (np.abs((x - cx) / rx) ** power + np.abs((y - cy) / ry) ** power) ** (1 / power)
    mask = np.clip((1.0 - distance) / soft + 0.5, 0, 1)
    if shape < 0.4:
        shoulders = np.clip((y - rng.uniform(0.72, 0.9)) / soft + 0.5, 0, 1)
        mask = np.maximum(mask, shoulders)
    if shape > 0.5 or shape < 0.4:
        rim = np.minimum(np.minimum(x, 1 - x), np.minimum(y, 1 - y))
        mask *= np.clip(rim / max(0.03, soft * 0.5), 0, 1)
    return mask.astype(np.float32)


def _blend(
    pixels: np.ndarray, crop: np.ndarray, mask: np.ndarray, matrix: np.ndarray, rng: np.random.Generator
) -> None:
    """Warp crop and mask by `matrix` into the scene, in place, with some of the surroundings' light."""
    size = pixels.shape[0]
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    matrix = matrix.copy()
    side = max(16, int(np.ceil(CROP * scale * 1.3)))
    if side < crop.shape[0]:  # warping alone would alias: shrink by area first
        crop = cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA)
    side = crop.shape[0]
    matrix[:, 2] += matrix[:, :2] @ np.full(2, (CROP / side - 1) / 2)
    matrix[:, :2] *= CROP / side
    corners = np.array([[0, 0], [side, 0], [0, side], [side, side]]) @ matrix[:, :2].T + matrix[:, 2]
    left, top = np.maximum(np.floor(corners.min(0)).astype(int), 0)
    right, bottom = np.minimum(np.ceil(corners.max(0)).astype(int) + 1, size)
    if right <= left or bottom <= top:
        return
    matrix[:, 2] -= (left, top)
    window = (int(right - left), int(bottom - top))
    face = cv2.warpAffine(crop, matrix, window, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
    matrix[:, :2] *= side / 64
    alpha = cv2.warpAffine(mask, matrix, window)[..., None]
    under = pixels[top:bottom, left:right].astype(np.float32)
    if rng.random() < 0.5:
        face += rng.uniform(0, 0.7) * (under.mean((0, 1)) - face.mean((0, 1)))
    if rng.random() < 0.3:
        across = np.linspace(-1, 1, window[0], dtype=np.float32)[None, :, None]
        face *= 1 + rng.uniform(-0.45, 0.45) * across
    mixed = under + alpha * (face - under)
    pixels[top:bottom, left:right] = np.clip(mixed, 0, 255).astype(np.uint8)
