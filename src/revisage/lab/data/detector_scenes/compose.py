"""Scenes with known faces for the detector, composed from photographs, aligned crops and whole portraits, so
that neither a square edge nor a halo gives a face away."""

from pathlib import Path

import cv2
import numpy as np

from revisage.lab.data.detector_scenes import clutter, heads
from revisage.lab.data.detector_scenes.paste import TURNED, Scene, fill_with_face, paste_face, tone
from revisage.lab.data.detector_scenes.source import Source, read
from revisage.lab.data.landmarks import mirror_landmarks
from revisage.lab.data.pictures import part

PROFILES = 0.25  # share of whole pictures that show one, where they are known


def compose(source: Source, seed: int, index: int, size: int = 256) -> Scene:
    """Scene `index` of the sequence `seed`: the same arguments give the same pixels."""
    rng = np.random.default_rng((seed, index))
    kind = str(rng.choice(list(KINDS), p=[share for share, _ in KINDS.values()]))
    scene = Scene(_background(source, rng, size), kind=kind)
    KINDS[kind][1](scene, source, rng)
    if kind != "clutter" and rng.random() < 0.15:
        _cover(scene, source, rng)
    if rng.random() < 0.1:
        _margin(scene, rng)
    if rng.random() < 0.15:
        scene.pixels = cv2.cvtColor(cv2.cvtColor(scene.pixels, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    if rng.random() < 0.15:
        scene.pixels = cv2.GaussianBlur(scene.pixels, (0, 0), rng.uniform(0.4, 1.2))
    for name in ("boxes", "landmarks", "leaning"):
        setattr(scene, name, getattr(scene, name).astype(np.float32))
    if rng.random() < 0.5:
        scene.pixels = np.ascontiguousarray(scene.pixels[:, ::-1])
        scene.landmarks = mirror_landmarks(scene.landmarks, size)
        for boxes in (scene.boxes, scene.leaning):
            boxes[:, 0] = size - 1 - boxes[:, 0] - boxes[:, 2]
    return scene


def _background(source: Source, rng: np.random.Generator, size: int) -> np.ndarray:
    """A crop of a photograph, of random scale, turn and tone; rarely plain paper."""
    if rng.random() < 0.06:
        shade = rng.uniform(20, 240) + rng.uniform(-15, 15, 3)
        ramp = np.linspace(-1, 1, size)[:, None, None] * rng.uniform(-30, 30)
        plain = np.clip(shade + ramp + rng.normal(0, rng.uniform(0, 8), (size, size, 1)), 0, 255)
        return plain.astype(np.uint8)
    if rng.random() < 0.2:
        return tone(clutter.patchwork(lambda: _scenery(source, rng), rng, size), rng)
    picture = _scenery(source, rng)
    height, width = picture.shape[:2]
    side = int(rng.uniform(min(0.35 * size, height, width), min(height, width)))
    crop = part(picture, rng, side, side)
    crop = cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA if side > size else cv2.INTER_LINEAR)
    return tone(np.rot90(crop, int(rng.integers(4))) if rng.random() < 0.2 else crop, rng)


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


def _clutter(scene: Scene, source: Source, rng: np.random.Generator) -> None:
    """A picture made to mislead; it lists no faces, and holds none but those of the photographs."""
    scene.pixels = tone(_misleading(source, rng, scene.pixels.shape[0]), rng)


def _misleading(source: Source, rng: np.random.Generator, size: int) -> np.ndarray:
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


def _margin(scene: Scene, rng: np.random.Generator) -> None:
    """Plain strips along one or two sides: a print's border, a scanner's lid, a detector's padding."""
    size = scene.pixels.shape[0]
    shade = rng.choice([0.0, 255.0, rng.uniform(0, 255)])
    covered = np.zeros((size, size), np.float32)
    for turn in rng.choice(4, int(rng.integers(1, 3)), replace=False):
        np.rot90(covered, turn)[: int(rng.uniform(0.02, 0.2) * size)] = 1.0  # a view: writes into `covered`
    scene.pixels = np.where(covered[..., None] > 0, np.uint8(shade), scene.pixels)
    _unlist(scene, covered)


def _cover(scene: Scene, source: Source, rng: np.random.Generator) -> None:
    """A few hands and other things in front of what is there."""
    size, before = scene.pixels.shape[0], scene.pixels.copy()
    cloth = clutter.cloth(lambda: _scenery(source, rng), rng, size)
    clutter.strew(scene.pixels, [cloth], rng, int(rng.integers(1, 6)))
    _unlist(scene, (scene.pixels != before).any(-1).astype(np.float32))


def _unlist(scene: Scene, covered: np.ndarray) -> None:
    """Take faces off the list that lose more than a third under what is `covered`, (S, S) of 0 and 1."""
    ends = np.maximum(np.hstack([scene.boxes[:, :2], scene.boxes[:, :2] + scene.boxes[:, 2:]]), 0)
    under = [covered[top:bottom, left:right].sum() for left, top, right, bottom in ends.astype(int)]
    kept = np.array(under) < 0.33 * scene.boxes[:, 2:].prod(1)
    scene.boxes, scene.landmarks = scene.boxes[kept], scene.landmarks[kept]


def _portrait(scene: Scene, source: Source, rng: np.random.Generator) -> None:
    size = scene.pixels.shape[0]
    paste_face(scene, source, rng, float(np.exp(rng.uniform(np.log(size * 0.25), np.log(size * 0.85)))))


def _few(scene: Scene, source: Source, rng: np.random.Generator) -> None:
    largest = np.log(scene.pixels.shape[0] * 0.45)
    for _ in range(rng.integers(1, 7)):
        paste_face(scene, source, rng, float(np.exp(rng.uniform(np.log(14), largest))))


def _crowd(scene: Scene, source: Source, rng: np.random.Generator) -> None:
    """Rows of small faces, as in a school photo, or scattered ones."""
    size = scene.pixels.shape[0]
    height = float(np.exp(rng.uniform(np.log(12), np.log(40))))
    if rng.random() < 0.5:
        for _ in range(int(rng.integers(5, 18))):
            paste_face(scene, source, rng, height * float(np.exp(rng.normal(0, 0.2))))
        return
    pitch_x, pitch_y = height * rng.uniform(1.3, 2.2), height * rng.uniform(1.4, 2.5)
    start = rng.uniform(0.2, 1.0) * size / 2
    places = [
        np.array([x, y]) + rng.normal(0, 0.1, 2) * height
        for row, y in enumerate(np.arange(start, size - height / 2, pitch_y))
        for x in np.arange(height * 0.7 + (row % 2) * pitch_x / 2, size - height / 2, pitch_x)
    ]
    for place in [places[i] for i in rng.permutation(len(places))[:20]]:
        paste_face(scene, source, rng, height * float(np.exp(rng.normal(0, 0.08))), place)


def _mosaic(scene: Scene, source: Source, rng: np.random.Generator) -> None:
    """Whole pictures side by side, or one enlarged: heads on their own shoulders, whose faces are not listed.
    Photographs without a face stand among them, so that a tile's straight edge tells nothing."""
    scene.complete = False
    count = int(rng.choice([1, 2, 3, 4, 5], p=[0.35, 0.25, 0.2, 0.1, 0.1]))
    for top, left, window in clutter.windows(scene.pixels, count):
        kind = rng.random()
        if count == 1 or kind < 0.6:
            picture = _whole(source.portraits, source, rng)
            if rng.random() < TURNED:
                picture = heads.turn_head(picture, heads.PORTRAIT_HEAD, heads.draw_turn(rng))
        elif kind < 0.75:
            picture = read(source.faces[rng.integers(len(source.faces))])
        elif kind < 0.85:
            picture = _scenery(source, rng)
        elif kind < 0.95 and source.expressions:
            picture = read(source.expressions[rng.integers(len(source.expressions))])
            picture = np.pad(picture, (*rng.integers(0, 24, (2, 2)), (0, 0)), "edge")
        else:
            continue
        height, width = window.shape[:2]
        if rng.random() < 0.2:
            picture = _leaning(picture, rng)
            scene.leaning = np.vstack((scene.leaning, (left, top, width, height)))
        picture = tone(_random_crop(picture, rng, 0.4 if count == 1 else 0.65), rng)
        how = cv2.INTER_AREA if width < picture.shape[1] else cv2.INTER_CUBIC
        window[:] = cv2.resize(picture, (width, height), interpolation=how)


def _photo(scene: Scene, source: Source, rng: np.random.Generator) -> None:
    """A photograph as it was taken, whole or a part, some in an oval. Its faces are not listed."""
    size = scene.pixels.shape[0]
    scene.complete = False
    picture = tone(_whole(source.photographs or source.portraits, source, rng), rng)
    scale = size / max(picture.shape[:2]) * float(np.exp(rng.uniform(np.log(0.5), np.log(2.2))))
    if scale < 1:
        picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        scale = 1.0
    middle = np.array(picture.shape[1::-1]) * rng.uniform(0.25, 0.75, 2)
    matrix = cv2.getRotationMatrix2D(middle.tolist(), rng.normal(0, 6), scale)
    matrix[:, 2] += size / 2 - middle
    covered = cv2.warpAffine(np.full(picture.shape[:2], 255, np.uint8), matrix, (size, size))
    if rng.random() < 0.15:
        oval = np.zeros_like(covered)
        axes = tuple(int(axis) for axis in rng.uniform(0.3, 0.6, 2) * size)
        cv2.ellipse(oval, (size // 2, size // 2), axes, 0, 0, 360, 255, -1, cv2.LINE_AA)
        covered = cv2.min(covered, cv2.GaussianBlur(oval, (0, 0), float(rng.uniform(0.5, 0.08 * size))))
        scene.pixels = np.full_like(scene.pixels, rng.uniform(150, 250))
    shown = cv2.warpAffine(picture, matrix, (size, size), borderMode=cv2.BORDER_REPLICATE)
    alpha = covered[..., None].astype(np.float32) / 255
    scene.pixels = (scene.pixels + alpha * (shown.astype(np.float32) - scene.pixels)).astype(np.uint8)


def _whole(paths: tuple[Path, ...], source: Source, rng: np.random.Generator) -> np.ndarray:
    """One of the pictures, now and then one of the few that show a profile."""
    if source.profiles and rng.random() < PROFILES:
        paths = source.profiles
    return read(paths[rng.integers(len(paths))])


def _random_crop(picture: np.ndarray, rng: np.random.Generator, smallest: float) -> np.ndarray:
    """A part of a picture, nearly square; sometimes squeezed, as by a view from above or the side."""
    side = min(picture.shape[:2])
    height = int(side * rng.uniform(smallest, 1.0))
    width = min(side, int(height * np.exp(rng.normal(0, 0.1 if rng.random() < 0.75 else 0.3))))
    return part(picture, rng, height, width)


def _leaning(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A picture turned by up to 40 degrees about its middle."""
    height, width = picture.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(-40, 40), 1.0)
    return cv2.warpAffine(picture, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101)


KINDS = {
    "portrait": (0.07, _portrait), "few": (0.13, _few), "crowd": (0.07, _crowd), "mosaic": (0.2, _mosaic),
    "photo": (0.28, _photo), "close": (0.03, fill_with_face), "clutter": (0.22, _clutter),
}  # fmt: skip
"""Share of the scenes, and what paints one."""
