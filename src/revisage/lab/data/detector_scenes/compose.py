"""Scenes with known faces, composed from photographs, aligned face crops and whole portraits.

The detector learns from these. A face is pasted under a soft mask of varying shape, size, turn and light, or
stands in its own whole picture, so that neither a square edge nor a halo gives it away.
"""

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from revisage.lab.data.detector_scenes import clutter, pose
from revisage.lab.data.detector_scenes.source import CROP, THUMBNAIL, Source, read
from revisage.lab.data.landmarks import mirror_landmarks

TURNED = 0.35  # share of heads that are turned to the side or bowed
# The box that goes with the landmarks of an aligned 256 px crop: left, top, width, height. It is the median
# of what the teacher detector answers on the crops, so both kinds of target mean the same by a face's box.
CROP_BOX = (59.0, 46.4, 138.0, 187.7)
KINDS = {"portrait": 0.08, "few": 0.16, "crowd": 0.08, "mosaic": 0.33, "close": 0.03, "clutter": 0.32}


@dataclass(frozen=True)
class Scene:
    """A composed picture and the faces that were put in.

    `pixels` (S, S, 3) RGB uint8; `boxes` (n, 4) float32 x, y, w, h in pixels; `landmarks` (n, 5, 2) float32
    in `revisage.faces.Face` order. Pictures without known landmarks bring faces that are not listed:
    `complete` says whether the list has every face that was put in. `leaning` (m, 4), boxes likewise, are
    parts with unlisted faces that were turned in the picture, which detectors' landmarks hardly follow.
    """

    pixels: np.ndarray
    boxes: np.ndarray
    landmarks: np.ndarray
    complete: bool
    kind: str
    leaning: np.ndarray


def compose(source: Source, seed: int, index: int, size: int = 256) -> Scene:
    """Scene `index` of the sequence `seed`: the same arguments give the same pixels."""
    rng = np.random.default_rng((seed, index))
    kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
    canvas = _Canvas(_background(source, rng, size))
    if kind == "portrait":
        _paste_face(canvas, source, rng, float(np.exp(rng.uniform(np.log(size * 0.25), np.log(size * 0.85)))))
    elif kind == "few":
        for _ in range(rng.integers(1, 7)):
            _paste_face(canvas, source, rng, float(np.exp(rng.uniform(np.log(14), np.log(size * 0.45)))))
    elif kind == "crowd":
        _crowd(canvas, source, rng)
    elif kind == "mosaic":
        _mosaic(canvas, source, rng)
    elif kind == "close":
        _close(canvas, source, rng)
    elif kind == "clutter":
        canvas.pixels = _tone(_clutter(source, rng, size), rng)
    if kind != "clutter" and rng.random() < 0.15:
        _cover(canvas, source, rng)
    if rng.random() < 0.1:
        _margin(canvas, rng)
    pixels = canvas.pixels
    if rng.random() < 0.15:
        pixels = cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    if rng.random() < 0.15:
        pixels = cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.4, 1.2))
    boxes = np.array(canvas.boxes, np.float32).reshape(-1, 4)
    landmarks = np.array(canvas.landmarks, np.float32).reshape(-1, 5, 2)
    leaning = np.array(canvas.leaning, np.float32).reshape(-1, 4)
    if rng.random() < 0.5:
        pixels, landmarks = pixels[:, ::-1], mirror_landmarks(landmarks, size)
        boxes[:, 0] = size - 1 - boxes[:, 0] - boxes[:, 2]
        leaning[:, 0] = size - 1 - leaning[:, 0] - leaning[:, 2]
    return Scene(np.ascontiguousarray(pixels), boxes, landmarks, canvas.complete, kind, leaning)


class _Canvas:
    """The picture while it is being composed."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels = pixels
        self.boxes: list[tuple[float, float, float, float]] = []
        self.landmarks: list[np.ndarray] = []
        self.leaning: list[tuple[int, int, int, int]] = []
        self.complete = True

    def free(self, box: tuple[float, float, float, float], margin: float) -> bool:
        """Whether a face of that box, widened by `margin` of its size, would touch no earlier one."""
        x, y, w, h = box
        dx, dy = margin * w, margin * h
        return all(
            x - dx > bx + bw or bx > x + w + dx or y - dy > by + bh or by > y + h + dy
            for bx, by, bw, bh in self.boxes
        )


def _background(source: Source, rng: np.random.Generator, size: int) -> np.ndarray:
    """A crop of a photograph, of random scale, turn and tone; rarely plain paper."""
    if rng.random() < 0.06:
        shade = rng.uniform(20, 240) + rng.uniform(-15, 15, 3)
        ramp = np.linspace(-1, 1, size)[:, None, None] * rng.uniform(-30, 30)
        plain = np.clip(shade + ramp + rng.normal(0, rng.uniform(0, 8), (size, size, 1)), 0, 255)
        return plain.astype(np.uint8)
    if rng.random() < 0.2:
        return _tone(clutter.patchwork(lambda: _scenery(source, rng), rng, size), rng)
    picture = _scenery(source, rng)
    height, width = picture.shape[:2]
    side = int(rng.uniform(min(0.35 * size, height, width), min(height, width)))
    top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
    crop = picture[top : top + side, left : left + side]
    crop = cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA if side > size else cv2.INTER_LINEAR)
    return _tone(np.rot90(crop, int(rng.integers(4))) if rng.random() < 0.2 else crop, rng)


def _scenery(source: Source, rng: np.random.Generator) -> np.ndarray:
    """A photograph, or two laid over each other: there are few, and no texture should be learned by heart."""
    picture = source.backgrounds[rng.integers(len(source.backgrounds))]
    if rng.random() > 0.35:
        return picture
    other = source.backgrounds[rng.integers(len(source.backgrounds))]
    if picture.shape != other.shape:
        other = cv2.rotate(other, cv2.ROTATE_90_CLOCKWISE)
    if picture.shape != other.shape:
        return picture
    other = cv2.flip(other, int(rng.integers(-1, 2)))
    share = float(rng.uniform(0.3, 0.7))
    return cv2.addWeighted(picture, share, other, 1 - share, 0)


def _clutter(source: Source, rng: np.random.Generator, size: int) -> np.ndarray:
    """A picture made to mislead; it lists no faces, and holds none but those of the photographs."""

    def anything() -> np.ndarray:
        draw = rng.random()
        if draw < 0.4:
            return _scenery(source, rng)
        if draw < 0.8:
            return read(source.portraits[rng.integers(len(source.portraits))])
        return read(source.faces[rng.integers(len(source.faces))])

    kind = rng.random()
    if kind < 0.35:
        return clutter.leaves(anything, rng, size)
    if kind < 0.5:
        return clutter.patchwork(lambda: _scenery(source, rng), rng, size)
    if kind < 0.6:
        return clutter.jumble(anything(), rng, size)
    if kind < 0.7:
        return clutter.closeup(anything(), rng, size)
    ground = clutter.leaves(anything, rng, size) if rng.random() < 0.2 else _background(source, rng, size)
    paint = clutter.lettering if kind < 0.8 else clutter.emblems if kind < 0.94 else clutter.shapes
    return paint(ground, rng) if kind < 0.98 else ground


def _margin(canvas: _Canvas, rng: np.random.Generator) -> None:
    """Plain strips along one or two sides: a print's border, a scanner's lid, a detector's padding."""
    size = canvas.pixels.shape[0]
    shade = rng.choice([0.0, 255.0, rng.uniform(0, 255)])
    covered = np.zeros((size, size), np.float32)
    for turn in rng.choice(4, int(rng.integers(1, 3)), replace=False):
        np.rot90(covered, turn)[: int(rng.uniform(0.02, 0.2) * size)] = 1.0  # a view: writes into `covered`
    canvas.pixels = np.where(covered[..., None] > 0, np.uint8(shade), canvas.pixels)
    _unlist(canvas, covered)


def _cover(canvas: _Canvas, source: Source, rng: np.random.Generator) -> None:
    """A few hands and other things in front of what is there."""
    size, before = canvas.pixels.shape[0], canvas.pixels.copy()
    cloth = clutter.cloth(lambda: _scenery(source, rng), rng, size)
    clutter.strew(canvas.pixels, [cloth], rng, int(rng.integers(1, 6)))
    _unlist(canvas, (canvas.pixels != before).any(-1).astype(np.float32))


def _unlist(canvas: _Canvas, covered: np.ndarray) -> None:
    """Take faces off the list that lose more than a third under what is `covered`, (S, S) of 0 and 1."""
    kept = []
    for index, (x, y, w, h) in enumerate(canvas.boxes):
        under = covered[max(0, int(y)) : max(0, int(y + h)), max(0, int(x)) : max(0, int(x + w))]
        if under.sum() < 0.33 * w * h:
            kept.append(index)
    canvas.boxes = [canvas.boxes[index] for index in kept]
    canvas.landmarks = [canvas.landmarks[index] for index in kept]


def _tone(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another exposure, contrast and tint."""
    table = np.arange(256)[:, None] / 255.0
    gain = rng.normal(1.0, 0.12) * (1 + rng.normal(0, 0.05, 3))
    table = np.clip((table - 0.5) * gain + 0.5 + rng.normal(0, 0.07), 0, 1) ** np.exp(rng.normal(0, 0.2))
    table = np.rint(table * 255).astype(np.uint8).reshape(256, 1, 3)
    return cv2.LUT(np.ascontiguousarray(pixels), table)


def _moved_box(matrix: np.ndarray) -> tuple[float, float, float, float]:
    """The upright box of `CROP_BOX` after the similarity `matrix` (2, 3) from crop to scene."""
    x, y, w, h = CROP_BOX
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    cx, cy = matrix @ np.array([x + w / 2, y + h / 2, 1.0])
    turn = abs(float(np.arctan2(matrix[1, 0], matrix[0, 0])))
    # A turned face's upright box is wider and lower than the turned box is.
    width = scale * (w * np.cos(turn) + 0.6 * h * np.sin(turn))
    height = scale * (h * np.cos(turn) + 0.6 * w * np.sin(turn))
    return float(cx - width / 2), float(cy - height / 2), float(width), float(height)


def _turn(rng: np.random.Generator) -> float:
    """Degrees: mostly slight, sometimes of a face that nearly lies on its side."""
    return float(rng.normal(0, 10) if rng.random() < 0.7 else rng.uniform(-60, 60))


def _paste_face(
    canvas: _Canvas,
    source: Source,
    rng: np.random.Generator,
    height: float,
    centre: tuple[float, float] | None = None,
) -> None:
    """One aligned crop, its face `height` px high, under a soft mask; none where no place is free."""
    size = canvas.pixels.shape[0]
    index = int(rng.integers(len(source.faces)))
    angle, scale = np.deg2rad(_turn(rng)), height / CROP_BOX[3]
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.array([CROP_BOX[0] + CROP_BOX[2] / 2, CROP_BOX[1] + CROP_BOX[3] / 2])
    for _ in range(6):
        lowest = min(height * 0.4, size / 2)
        place = centre or rng.uniform(lowest, size - lowest, 2)
        matrix = np.column_stack([linear, np.asarray(place) - linear @ middle])
        box = _moved_box(matrix)
        if canvas.free(box, 0.05):
            break
        if centre is not None:
            return
    else:
        return
    crop = source.thumbnails[index] if scale * CROP < THUMBNAIL / 1.3 else read(source.faces[index])
    crop, points = _turned(crop, source.landmarks[index], rng)
    mask = _mask(rng)
    _blend(canvas.pixels, _tone(crop, rng), mask, matrix, rng)
    canvas.boxes.append(box)
    canvas.landmarks.append(points @ linear.T.astype(np.float32) + matrix[:, 2].astype(np.float32))


def _turned(crop: np.ndarray, points: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """An aligned crop of any size and its landmarks in the 256 px crop, now and then with the head turned."""
    if rng.random() >= TURNED:
        return crop, points
    turn = pose.draw_turn(rng)
    return pose.turn_head(crop, pose.CROP_HEAD, turn), pose.turn_points(points, CROP, pose.CROP_HEAD, turn)


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


def _crowd(canvas: _Canvas, source: Source, rng: np.random.Generator) -> None:
    """Rows of small faces, as in a school photo, or scattered ones."""
    size = canvas.pixels.shape[0]
    height = float(np.exp(rng.uniform(np.log(12), np.log(40))))
    if rng.random() < 0.5:
        for _ in range(int(rng.integers(5, 18))):
            _paste_face(canvas, source, rng, height * float(np.exp(rng.normal(0, 0.2))))
        return
    pitch_x, pitch_y = height * rng.uniform(1.3, 2.2), height * rng.uniform(1.4, 2.5)
    start = rng.uniform(0.2, 1.0) * size / 2
    places = [
        (x + rng.normal(0, 0.1) * height, y + rng.normal(0, 0.1) * height)
        for row, y in enumerate(np.arange(start, size - height / 2, pitch_y))
        for x in np.arange(height * 0.7 + (row % 2) * pitch_x / 2, size - height / 2, pitch_x)
    ]
    for place in [places[i] for i in rng.permutation(len(places))[:20]]:
        _paste_face(canvas, source, rng, height * float(np.exp(rng.normal(0, 0.08))), place)


def _mosaic(canvas: _Canvas, source: Source, rng: np.random.Generator) -> None:
    """Whole pictures side by side, or one enlarged: heads on their own shoulders. Their faces are not listed.

    Photographs without a face stand among them, so that a tile's straight edge tells nothing.
    """
    size = canvas.pixels.shape[0]
    canvas.complete = False
    count = int(rng.choice([1, 2, 3, 4, 5], p=[0.35, 0.25, 0.2, 0.1, 0.1]))
    edges = np.linspace(0, size, count + 1).astype(int)
    for top, bottom in pairwise(edges):
        for left, right in pairwise(edges):
            kind = rng.random()
            if count == 1 or kind < 0.6:
                picture = read(source.portraits[rng.integers(len(source.portraits))])
                if rng.random() < TURNED:
                    picture = pose.turn_head(picture, pose.PORTRAIT_HEAD, pose.draw_turn(rng))
            elif kind < 0.75:
                picture = read(source.faces[rng.integers(len(source.faces))])
            elif kind < 0.85:
                picture = _scenery(source, rng)
            elif kind < 0.95 and source.expressions:
                picture = read(source.expressions[rng.integers(len(source.expressions))])
                picture = np.pad(picture, (*rng.integers(0, 24, (2, 2)), (0, 0)), "edge")
            else:
                continue
            if rng.random() < 0.2:
                picture = _leaning(picture, rng)
                canvas.leaning.append((left, top, right - left, bottom - top))
            picture = _tone(_random_crop(picture, rng, 0.4 if count == 1 else 0.65), rng)
            window = (int(right - left), int(bottom - top))
            shrinking = window[0] < picture.shape[1]
            how = cv2.INTER_AREA if shrinking else cv2.INTER_CUBIC
            canvas.pixels[top:bottom, left:right] = cv2.resize(picture, window, interpolation=how)


def _random_crop(picture: np.ndarray, rng: np.random.Generator, smallest: float) -> np.ndarray:
    """A part of a picture, nearly square; sometimes squeezed, as by a view from above or the side."""
    side = min(picture.shape[:2])
    height = int(side * rng.uniform(smallest, 1.0))
    width = min(side, int(height * np.exp(rng.normal(0, 0.1 if rng.random() < 0.75 else 0.3))))
    top, left = rng.integers(picture.shape[0] - height + 1), rng.integers(picture.shape[1] - width + 1)
    return picture[top : top + height, left : left + width]


def _leaning(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A picture turned by up to 40 degrees about its middle."""
    height, width = picture.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(-40, 40), 1.0)
    return cv2.warpAffine(picture, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101)


def _close(canvas: _Canvas, source: Source, rng: np.random.Generator) -> None:
    """One aligned crop that fills the picture or more, without any mask."""
    size = canvas.pixels.shape[0]
    index = int(rng.integers(len(source.faces)))
    angle, scale = np.deg2rad(rng.normal(0, 8)), size / CROP * rng.uniform(0.95, 1.6)
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    place = rng.normal(size / 2, size * 0.08, 2)
    matrix = np.column_stack([linear, place - linear @ np.full(2, CROP / 2)])
    crop, points = _turned(read(source.faces[index]), source.landmarks[index], rng)
    crop = _tone(crop, rng)
    border = cv2.BORDER_REFLECT_101 if rng.random() < 0.5 else cv2.BORDER_REPLICATE
    canvas.pixels = cv2.warpAffine(crop, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=border)
    canvas.boxes.append(_moved_box(matrix))
    canvas.landmarks.append(points @ linear.T + matrix[:, 2])
