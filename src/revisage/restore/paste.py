"""A restored face back onto the canvas: geometry, oval mask, detail beyond the model's resolution.

All work happens in the face's bounding region, block by block; no full-size float array is made. Pixel
coordinates name pixel centres, as OpenCV has them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from revisage.faces import align, invert
from revisage.restore import colour, tiles

CENTRE = (0.5, 0.52)
RADII = (0.46, 0.47)
"""The mask's oval in an FFHQ crop, as shares of its side: from above the hairline to below the chin."""

SOLID = 0.76  #: share of the oval's radius up to which the mask is 1; the seam fades from there to the edge
CONTEST = 0.3  #: width, in radii, over which a pixel between two faces passes from one to the other
TRUST = 0.1  #: mean difference between face and photo at which the photo's own finest detail counts 1/e
BLOCK = 1 << 20  #: pixels of canvas held in floating point at once

CUBIC = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
Block = tuple[int, int, int, int]  #: of a canvas: left, top, right, bottom


@dataclass(frozen=True)
class Placement:
    """Where a crop lies on the canvas."""

    size: int  #: side of the crop, S
    to_crop: np.ndarray  #: (2, 3) float64 similarity, canvas (x, y) -> crop (x, y)
    source_ratio: float  #: photo pixels per crop pixel; above 1 the photo has detail that no crop can hold

    @property
    def ratio(self) -> float:
        """Canvas pixels per crop pixel."""
        return 1 / _zoom(self.to_crop)

    def region(self, shape: tuple[int, ...]) -> Block:
        """What is around the oval on a canvas of `shape`, cut to it; may be empty."""
        angles = np.linspace(0, 2 * np.pi, 64, endpoint=False)
        unit = np.stack([np.cos(angles), np.sin(angles)], 1) * 1.02
        points = _apply(invert(self.to_crop), (np.array(CENTRE) + unit * RADII) * self.size - 0.5)
        low, high = np.floor(points.min(axis=0)) - 1, np.ceil(points.max(axis=0)) + 2
        left, top = np.clip(low, 0, shape[1::-1]).astype(int).tolist()
        right, bottom = np.clip(high, 0, shape[1::-1]).astype(int).tolist()
        return left, top, right, bottom

    def radius(self, block: Block) -> np.ndarray:
        """(h, w) float32: the oval's radius at each pixel of a block; 0 in the middle, 1 at the edge."""
        left, top, right, bottom = block
        x = np.arange(left, right, dtype=np.float32)[None, :]
        y = np.arange(top, bottom, dtype=np.float32)[:, None]
        (a, b, c), (d, e, f) = self.to_crop.tolist()
        u = (a * x + (b * y + (c + 0.5 - CENTRE[0] * self.size))) / (RADII[0] * self.size)
        v = (d * x + (e * y + (f + 0.5 - CENTRE[1] * self.size))) / (RADII[1] * self.size)
        return np.sqrt(u * u + v * v)


def place_crop(matrix: np.ndarray, size: int, scale: int) -> Placement:
    """The placement of a crop that `matrix` (photo -> crop) cut, on a canvas `scale` times the photo."""
    linear = matrix[:, :2] / scale
    shift = matrix[:, 2] + matrix[:, :2].sum(axis=1) * (0.5 / scale - 0.5)
    return Placement(size, np.column_stack([linear, shift]).astype(np.float64), 1 / _zoom(matrix))


def overlapping(placements: Sequence[Placement]) -> list[list[Placement]]:
    """For each placement the others whose ovals may overlap it."""
    centres = np.array(
        [_apply(invert(p.to_crop), np.array([CENTRE]) * p.size - 0.5)[0] for p in placements]
    ).reshape(-1, 2)
    radius = np.array([max(RADII) * p.size * p.ratio for p in placements])
    overlaps = []
    for index, centre in enumerate(centres):
        near = np.hypot(*(centres - centre).T) < radius + radius[index]
        overlaps.append([placements[other] for other in np.flatnonzero(near).tolist() if other != index])
    return overlaps


def mask(radius: np.ndarray) -> np.ndarray:
    """Oval radius -> weight in [0, 1]: 1 up to SOLID, smooth fade to 0 at 1."""
    return 1 - _smooth((radius - SOLID) / (1 - SOLID))


def sample(canvas: np.ndarray, placement: Placement) -> np.ndarray:
    """The canvas seen through the crop: (S, S, 3) float32 in [0, 1], area-filtered where it shrinks."""
    return tiles.to_float(align(canvas, placement.to_crop, placement.size))


def inside(canvas_shape: tuple[int, ...], placement: Placement) -> np.ndarray:
    """(S, S) float32: 1 where the crop lies within the canvas, 0 outside."""
    axis = np.arange(placement.size, dtype=np.float64)
    points = _apply(invert(placement.to_crop), np.stack(np.meshgrid(axis, axis), -1))
    within = (points >= -0.5) & (points <= np.array(canvas_shape[1::-1]) - 0.5)
    return np.asarray(within.all(-1), np.float32)


def paste(
    canvas: np.ndarray,
    face: np.ndarray,
    placement: Placement,
    *,
    strength: float,
    blend_offset: bool,
    neighbours: Sequence[Placement] = (),
) -> None:
    """Blend a restored face, (S, S, 3) float32 RGB that need not be clipped, into the canvas, (H, W, 3) uint8
    or uint16, in place; `strength` 0 leaves it as it is, 1 shows the face fully.

    Where the photo resolves more than the model (`source_ratio` > 1), only the change the model made is
    added: canvas + up(face - down(canvas)), so the photo's bands above the model's Nyquist frequency stay.
    They stay less where the model changed the picture much, since there they hold the damage it removed.

    `blend_offset` limits colour matching to the rim, so that the middle has the model's colours; else the
    whole face is matched to its surroundings. `neighbours` are the faces whose ovals meet this one: a pixel
    goes to the face in whose oval it lies deepest.
    """
    region = placement.region(canvas.shape)
    if strength == 0 or region[2] <= region[0] or region[3] <= region[1]:
        return
    base = sample(canvas, placement)
    face = _matched(face, base, inside(canvas.shape, placement), blend_offset)
    own = _own_detail(face, base, placement.source_ratio)
    change = face - own[..., None] * base
    layer, to_layer = _reduced(np.dstack([change, own]), placement.to_crop, placement.ratio)
    rows = max(1, BLOCK // (region[2] - region[0]))
    for top in range(region[1], region[3], rows):
        block = (region[0], top, region[2], min(top + rows, region[3]))
        target = canvas[top : block[3], region[0] : region[2]]
        warp = warped(layer, to_layer, block)
        before = tiles.to_float(target)
        own = np.clip(warp[..., 3:], 0, 1)
        weight = strength * _weight(placement, neighbours, block)[..., None]
        after = before + weight * (warp[..., :3] - (1 - own) * before)
        target[...] = tiles.to_integer(after, canvas.dtype)


def warped(layer: np.ndarray, to_layer: np.ndarray, block: Block) -> np.ndarray:
    """A layer, (S, S, C) float32, as it lies in a block of the canvas; `to_layer` is canvas -> layer."""
    left, top, right, bottom = block
    moved = np.array(to_layer, np.float64)
    moved[:, 2] += moved[:, :2] @ (left, top)
    size = (right - left, bottom - top)
    return cv2.warpAffine(layer, moved, size, flags=CUBIC, borderMode=cv2.BORDER_REPLICATE)


def _weight(placement: Placement, rivals: Sequence[Placement], block: Block) -> np.ndarray:
    radius = placement.radius(block)
    weight = mask(radius)
    for rival in rivals:
        weight *= _smooth((rival.radius(block) - radius) / (2 * CONTEST) + 0.5)
    return weight


def _matched(face: np.ndarray, base: np.ndarray, within: np.ndarray, blend_offset: bool) -> np.ndarray:
    size = face.shape[0]
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size
    x, y = np.meshgrid((axis - CENTRE[0]) / RADII[0], (axis - CENTRE[1]) / RADII[1])
    oval = mask(np.sqrt(x * x + y * y))
    offset = colour.match(face, base, 4 * oval * (1 - oval) * within)
    return face + (offset * (1 - oval)[..., None] if blend_offset else offset)


def _own_detail(face: np.ndarray, base: np.ndarray, source_ratio: float) -> np.ndarray:
    """(S, S) float32 in [0, 1]: how much of the photo's own finest detail to keep at each place."""
    size = face.shape[0]
    ramp = min(max(2 * (source_ratio - 1), 0), 1)
    if ramp == 0:
        return np.zeros((size, size), np.float32)
    change = np.abs(face - base).mean(axis=2)
    change = cv2.GaussianBlur(change, (0, 0), size / 64)
    return np.float32(ramp) * np.exp(-np.square(change / TRUST))


def _reduced(layer: np.ndarray, to_layer: np.ndarray, ratio: float) -> tuple[np.ndarray, np.ndarray]:
    """Where the layer is finer than the canvas, average it down to the canvas's resolution.

    `ratio` is canvas pixels per layer pixel. Returns the layer and the transform canvas -> layer.
    """
    if ratio >= 1:
        return layer, to_layer
    size = layer.shape[0]
    side = max(1, round(size * ratio))
    factor = side / size
    reduced = to_layer * factor
    reduced[:, 2] += 0.5 * factor - 0.5
    return cv2.resize(layer, (side, side), interpolation=cv2.INTER_AREA), reduced


def _zoom(matrix: np.ndarray) -> float:
    return float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))


def _apply(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ matrix[:, :2].T + matrix[:, 2]


def _smooth(t: np.ndarray) -> np.ndarray:
    t = np.clip(t, 0, 1)
    return t * t * (3 - 2 * t)
