"""Heads turned in their own pictures: profiles and bowed heads, which portraits have few of."""

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
    """(S, S, 3) uint8 as if the head in it had turned: what stands out moves aside, the outline stays.

    A point that stands out by z moves by z times the sines in `turn` (2,), as under a parallel projection.
    """
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
