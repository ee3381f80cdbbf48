"""Pictures without a face, (size, size, 3) uint8, that a careless detector takes for one: dense texture,
lettering, loose parts."""

from collections.abc import Callable, Iterator
from itertools import pairwise, product

import cv2
import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageFont

from revisage.lab.data.pictures import part

LETTERS = np.array(list("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789   .,&?@"))
STROKES = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_SCRIPT_COMPLEX)
Draw = Callable[[], np.ndarray]


def patchwork(draw: Draw, rng: Generator, size: int) -> np.ndarray:
    """Pictures from `draw` side by side, shrunk and turned: the fine structure of a large photo."""
    canvas = np.empty((size, size, 3), np.uint8)
    for _, _, window in windows(canvas, int(rng.integers(1, 5))):
        picture = np.rot90(draw(), int(rng.integers(4)))
        window[:] = cv2.resize(picture, window.shape[1::-1], interpolation=cv2.INTER_AREA)
    return canvas


def windows(canvas: np.ndarray, count: int) -> Iterator[tuple[int, int, np.ndarray]]:
    """Top, left and a view of each part of a square canvas that is cut into `count` rows and columns."""
    edges = np.linspace(0, canvas.shape[0], count + 1).astype(int).tolist()
    for (top, bottom), (left, right) in product(pairwise(edges), repeat=2):
        yield top, left, canvas[top:bottom, left:right]


def jumble(picture: np.ndarray, rng: Generator, size: int) -> np.ndarray:
    """The pieces of a picture in another order, each turned: eyes, hair and collars that make no face."""
    count = int(rng.integers(3, 8))
    side = -(-size // count)
    whole = cv2.resize(picture, (side * count, side * count), interpolation=cv2.INTER_LINEAR)
    pieces = [piece for row in np.vsplit(whole, count) for piece in np.hsplit(row, count)]
    order = rng.permutation(count * count)
    turned = [np.rot90(pieces[index], int(rng.integers(4))) for index in order]
    rows = [np.hstack(turned[row * count : (row + 1) * count]) for row in range(count)]
    return np.ascontiguousarray(np.vstack(rows)[:size, :size])


def closeup(picture: np.ndarray, rng: Generator, size: int) -> np.ndarray:
    """A small part of a picture, much enlarged: skin, cloth, grain, as in a tile of a large scan."""
    side = max(12, int(min(picture.shape[:2]) * rng.uniform(0.08, 0.3)))
    return cv2.resize(part(picture, rng, side, side), (size, size), interpolation=cv2.INTER_CUBIC)


def leaves(draw: Draw, rng: Generator, size: int) -> np.ndarray:
    """Shaded shapes that cover one another, each cut from a picture: cloth, petals, stones, limbs, hands. As
    the dead leaves of Lee, Mumford and Huang, *Occlusion models for natural images*, IJCV 2001."""
    cloths = [cloth(draw, rng, size) for _ in range(4)]
    canvas = cloths[0].copy()
    strew(canvas, cloths, rng, int(rng.integers(6, 40)))
    return canvas


def strew(canvas: np.ndarray, cloths: list[np.ndarray], rng: Generator, count: int) -> None:
    """Lay `count` shapes cut from `cloths`, each of the canvas's size, on the canvas, in place."""
    size = canvas.shape[0]
    largest = float(np.exp(rng.uniform(np.log(size / 6), np.log(size / 1.4))))
    for _ in range(count):
        place, length = rng.uniform(0, size, 2), largest * float(np.exp(rng.uniform(-2, 0)))
        cloth, at = cloths[rng.integers(len(cloths))], np.array([*place, rng.uniform(0, 2 * np.pi)])
        if rng.random() < 0.2:
            _hand(canvas, cloth, rng, length, at)
        else:
            outline = _blob(rng) * (length, length * rng.uniform(0.25, 1.0)) / 2
            _leaf(canvas, cloth, rng, outline, at)


def cloth(draw: Draw, rng: Generator, size: int) -> np.ndarray:
    """(size, size, 3): a part of a picture, coarse or fine, or noise whose power falls with frequency."""
    if rng.random() < 0.3:
        grain = np.zeros((size, size, 1), np.float32)
        fall, cells = rng.uniform(0.5, 1.2), 2
        while cells < size:
            shape = (max(1, round(cells * rng.uniform(0.3, 1))), cells)
            octave = rng.normal(0, cells**-fall, shape).astype(np.float32)
            grain[..., 0] += cv2.resize(octave, (size, size), interpolation=cv2.INTER_CUBIC)
            cells *= 2
        grain *= rng.uniform(5, 60) / max(float(grain.std()), 1e-6)
        tone = rng.uniform(20, 235) + rng.normal(0, 20, 3)
        return np.clip(tone + grain, 0, 255).astype(np.uint8)
    picture = draw()
    side = max(8, int(min(picture.shape[:2]) * np.exp(rng.uniform(-2.0, 0))))
    cut = np.rot90(part(picture, rng, side, side), int(rng.integers(4)))
    return cv2.resize(cut, (size, size), interpolation=cv2.INTER_AREA if side > size else cv2.INTER_LINEAR)


def _blob(rng: Generator) -> np.ndarray:
    """(48, 2): a smooth closed outline of radius about 1, an oval or a lobed one; sometimes with corners."""
    count = 48 if rng.random() < 0.8 else int(rng.integers(3, 7))
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    radius = np.ones(count)
    for wave in range(2, 6):
        radius += rng.normal(0, 0.25 / wave) * np.cos(wave * angle + rng.uniform(0, 2 * np.pi))
    return radius[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])


def _hand(canvas: np.ndarray, cloth: np.ndarray, rng: Generator, length: float, at: np.ndarray) -> None:
    """A palm and fingers, in one tone like skin; `at` (3,): x, y, and how far it is turned, in radians."""
    place, turn = at[:2], at[2]
    skin = np.array([rng.uniform(70, 250), 0.0, 0.0])
    skin[1] = skin[0] * rng.uniform(0.65, 0.95)
    skin[2] = skin[1] * rng.uniform(0.75, 1.0)
    cloth = np.clip(0.25 * (cloth.astype(np.float32) - cloth.mean()) + skin, 0, 255).astype(np.uint8)
    along, across = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    _leaf(canvas, cloth, rng, _blob(rng) * (length * 0.35, length * 0.3), at)
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    oval = np.column_stack([np.cos(angle), np.sin(angle)])
    rod = np.sign(oval) * np.abs(oval) ** 0.6
    thick, count = length * rng.uniform(0.1, 0.16), int(rng.integers(3, 6))
    for finger in range(count):
        side, bent = finger - (count - 1) / 2, rng.normal(0, 0.12)
        reach = length * rng.uniform(0.35, 0.65)
        root = place + across * side * thick * 1.15 + along * length * 0.25
        heading = turn + 0.1 * side + bent
        middle = root + reach / 2 * np.array([np.cos(heading), np.sin(heading)])
        _leaf(canvas, cloth, rng, rod * (reach / 2, thick / 2), np.array([*middle, heading]))


def _leaf(canvas: np.ndarray, cloth: np.ndarray, rng: Generator, outline: np.ndarray, at: np.ndarray) -> None:
    """Lay a shape of `cloth` on the canvas, in place, lit from one side, round or flat, with a dark rim."""
    size, place, turn = canvas.shape[0], at[:2], at[2]
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    points = outline @ rotation.T + place
    low = np.maximum(np.floor(points.min(0)).astype(int) - 2, 0)
    high = np.minimum(np.ceil(points.max(0)).astype(int) + 3, size)
    if (high - low < 3).any():
        return
    shape = (int(high[1] - low[1]), int(high[0] - low[0]))
    mask = np.zeros(shape, np.uint8)
    cv2.fillPoly(mask, [np.rint((points - low) * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    half = np.maximum(np.abs(outline).max(0), 1.0)
    u, v = np.moveaxis((np.stack([x, y], -1) + low - place) @ rotation, -1, 0) / half[:, None, None]
    light = 1 + rng.uniform(-0.3, 0.3) * u + rng.uniform(-0.3, 0.3) * v
    light -= rng.uniform(0, 0.6) * np.clip(v * v + rng.uniform(0, 1) * u * u, 0, 1)
    corner = rng.integers(0, size - np.array(shape) + 1)
    piece = cloth[corner[0] : corner[0] + shape[0], corner[1] : corner[1] + shape[1]].astype(np.float32)
    piece = (piece + rng.normal(0, 15)) * light[..., None]
    alpha = mask[..., None].astype(np.float32) / 255
    under = canvas[low[1] : high[1], low[0] : high[0]].astype(np.float32)
    if rng.random() < 0.5:  # its shadow on what lies below
        soft = max(0.6, 0.08 * float(half.min()))
        under *= 1 - rng.uniform(0.2, 0.7) * cv2.GaussianBlur(alpha, (0, 0), soft)[..., None]
    mixed = under + alpha * (piece - under)
    canvas[low[1] : high[1], low[0] : high[0]] = np.clip(mixed, 0, 255).astype(np.uint8)


def lettering(canvas: np.ndarray, rng: Generator) -> np.ndarray:
    """Lines of writing over a picture: captions, stamps, number plates, a page of small print."""
    size = canvas.shape[0]
    picture = Image.fromarray(np.ascontiguousarray(canvas))
    drawing = ImageDraw.Draw(picture)
    height = float(np.exp(rng.uniform(np.log(7), np.log(60))))
    pitch = height * rng.uniform(0.9, 1.5)
    y = rng.uniform(-height, size * 0.7)
    while y < size * rng.uniform(0.8, 1.3):
        text = _word(rng, int(rng.integers(3, 60)))
        shade = (0, 255, int(rng.integers(0, 256)))[int(rng.integers(3))]
        font = ImageFont.load_default(max(6.0, height * rng.uniform(0.8, 1.2)))
        wide, place = int(rng.integers(0, 2)), (rng.uniform(-30, size / 3), y)
        drawing.text(place, text, (shade,) * 3, font, stroke_width=wide if height > 12 else 0)
        y += pitch
    made = np.array(picture)
    if rng.random() < 0.6:  # hand-stamped letters stand apart and are thin
        for _ in range(int(rng.integers(1, 5))):
            text = _word(rng, int(rng.integers(2, 16)))
            corner = (int(rng.uniform(-10, size * 0.7)), int(rng.uniform(5, size)))
            tone = float(rng.uniform(0, 255))
            scale = float(np.exp(rng.uniform(np.log(0.3), np.log(2.0))))
            style, wide = int(rng.choice(STROKES)), int(rng.integers(1, 3))
            cv2.putText(made, text, corner, style, scale, (tone, tone, tone), wide, cv2.LINE_AA)
    return made


def emblems(canvas: np.ndarray, rng: Generator) -> np.ndarray:
    """Light discs and shields with dark signs in them: badges, clocks, flowers, flags, single letters."""
    size = canvas.shape[0]
    picture = Image.fromarray(np.ascontiguousarray(canvas))
    drawing = ImageDraw.Draw(picture)
    for _ in range(int(rng.integers(2, 12))):
        height = float(np.exp(rng.uniform(np.log(8), np.log(size / 2))))
        x, y = rng.uniform(0, size, 2)
        wide = height * rng.uniform(0.6, 1.1) / 2
        box = (x - wide, y - height / 2, x + wide, y + height / 2)
        tones = [int(v) for v in rng.integers(0, 256, 2)]
        ground, ink = (tuple(int(np.clip(tone + v, 0, 255)) for v in rng.normal(0, 20, 3)) for tone in tones)
        if rng.random() < 0.8:
            draw = drawing.ellipse if rng.random() < 0.8 else drawing.rectangle
            draw(box, ground, ink, max(1, int(height * rng.uniform(0, 0.1))))
        if rng.random() < 0.6:
            font = ImageFont.load_default(max(6.0, height * rng.uniform(0.5, 1.0)))
            heavy = int(height * rng.uniform(0, 0.06))
            drawing.text((x, y), _word(rng, int(rng.integers(1, 3))), ink, font, "mm", stroke_width=heavy)
            continue
        arms, turn = int(rng.integers(2, 9)), float(rng.uniform(0, 7))
        for arm in range(arms):
            along = turn + 2 * np.pi * arm / arms
            reach = 0.4 * height * rng.uniform(0.5, 1.0)
            joint = (x + reach * np.cos(along), y + reach * np.sin(along))
            bend = along + float(rng.choice([0.0, 0.8]))
            tip = (joint[0] + 0.4 * reach * np.cos(bend), joint[1] + 0.4 * reach * np.sin(bend))
            drawing.line([(x, y), joint, tip], ink, max(1, int(height * rng.uniform(0.03, 0.15))))
    return np.array(picture)


def _word(rng: Generator, length: int) -> str:
    return "".join(str(letter) for letter in rng.choice(LETTERS, length))


def shapes(canvas: np.ndarray, rng: Generator) -> np.ndarray:
    """Ovals, boxes, spots and bars over a picture: buttons, wheels, windows, fences."""
    size = canvas.shape[0]
    canvas = np.ascontiguousarray(canvas).copy()
    for _ in range(int(rng.integers(3, 25))):
        x, y = (int(v) for v in rng.uniform(0, size, 2))
        a, b = (int(v) for v in np.exp(rng.uniform(np.log(2), np.log(size / 3), 2)))
        colour = tuple(float(v) for v in np.clip(rng.uniform(0, 255) + rng.normal(0, 30, 3), 0, 255))
        thick = -1 if rng.random() < 0.6 else int(rng.integers(1, 4))
        if rng.random() < 0.6:
            turn = float(rng.uniform(0, 180))
            cv2.ellipse(canvas, (x, y), (a, b), turn, 0, 360, colour, thick, cv2.LINE_AA)
        else:
            cv2.rectangle(canvas, (x, y), (x + a, y + b), colour, thick, cv2.LINE_AA)
    return canvas
