"""What is missing in a picture, filled from what lies around it: first its colours, then its grain."""

import math
from collections.abc import Iterator

import cv2
import numpy as np

DIRECTIONS = 8  #: lines through each missing pixel on which both of their ends are looked for

REACH = 12
"""Pixels from a missing one to the end of a line; what is further inside is filled at half the size first."""

ALIKE = 25.0  #: levels of 255 by which two ends may differ before they count as two things rather than one

GRAIN_SIDE, GRAIN_SIGMAS = 5, 2.5
"""Side of the window whose mean is the picture without its grain; more than so many sigmas is no grain."""

CHUNK = 1 << 18  #: missing pixels in hand at once: they take some 100 bytes each


def inpaint(pixels: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 or uint16, filled in where `missing`, (H, W) bool, not all of it.

    What is not missing stays as it is, to the bit; where channels are equal, the filling's are. Takes time by
    what is missing.
    """
    assert not missing.all()
    return _grained(_filled(pixels, missing), missing) if missing.any() else pixels


def _filled(pixels: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Each missing pixel between the ends of lines through it, mostly of short ones with like ends, along
    which an edge goes on. The same at half the size is what holds where no line is short enough."""
    height, width = missing.shape
    coarse, still_missing = _halved(pixels, missing)
    if still_missing.any():
        coarse = _filled(coarse, still_missing)
    filled, top = pixels.copy(), np.iinfo(pixels.dtype).max
    base = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    hole = np.pad(missing, REACH, constant_values=True)  # beyond the picture nothing is known
    flat, places = filled.reshape(-1, 3), np.flatnonzero(missing)
    for start in range(0, places.size, CHUNK):
        at = places[start : start + CHUNK]
        total = 1e-4 * base.reshape(-1, 3)[at].astype(np.float32)
        weights = np.full((at.size, 1), 1e-4, np.float32)
        for moves, step in _lines():
            which, ends, steps = _ends(hole, at, width, moves)
            first, second = (pixels.reshape(-1, 3)[end].astype(np.float32) for end in ends)
            differ = np.abs(first - second).mean(axis=1) * np.float32(255 / top / ALIKE)
            length = (steps[0] + steps[1]) * np.float32(step)
            weight = ((np.exp(-(differ**2) / 2) + 1e-3) / length**3)[:, None]
            total[which] += weight * (first + (second - first) * (steps[0] / (steps[0] + steps[1]))[:, None])
            weights[which] += weight
        flat[at] = (total / weights + 0.5).astype(pixels.dtype)
    return filled


def _halved(pixels: np.ndarray, missing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At half the size the mean of what is known, and where less than half of a pixel is."""
    size = tuple((length + 1) // 2 for length in missing.shape[::-1])
    known = cv2.resize(np.where(missing, np.uint8(0), np.uint8(255)), size, interpolation=cv2.INTER_AREA)
    blank = np.where(missing[..., None], pixels.dtype.type(0), pixels)
    least = max(1, min(128, int(known.max())))
    gain = np.float32(255) / np.maximum(known, least)
    mean = cv2.resize(blank, size, interpolation=cv2.INTER_AREA) * gain[..., None]
    return np.minimum(mean + 0.5, np.iinfo(pixels.dtype).max).astype(pixels.dtype), known < least


def _lines() -> Iterator[tuple[np.ndarray, float]]:
    """For each direction the moves (REACH + 1, 2) in rows and columns, and the length of one."""
    for angle in np.arange(DIRECTIONS) * math.pi / DIRECTIONS:
        way = np.array([math.sin(angle), math.cos(angle)])
        way /= np.abs(way).max()
        yield np.rint(np.outer(np.arange(REACH + 1), way)).astype(np.int64), float(np.hypot(*way))


def _ends(
    hole: np.ndarray, at: np.ndarray, width: int, moves: np.ndarray
) -> tuple[np.ndarray, list[np.ndarray], list[np.ndarray]]:
    """Which of the places `at` have a known pixel on both sides, where these are, and how many moves away."""
    padded = (at // width + REACH) * hole.shape[1] + at % width + REACH
    steps = []
    for sign in (1, -1):
        offsets = sign * moves @ (hole.shape[1], 1)
        count, going = np.zeros(at.size, np.int64), np.arange(at.size)
        for n in range(1, REACH + 1):
            known = ~hole.reshape(-1)[padded[going] + offsets[n]]
            count[going[known]] = n
            going = going[~known]
        steps.append(count)
    which = np.flatnonzero((steps[0] > 0) & (steps[1] > 0))
    steps = [count[which] for count in steps]
    plain = moves @ (width, 1)
    ends = [at[which] + plain[steps[0]], at[which] - plain[steps[1]]]
    return which, ends, [count.astype(np.float32) for count in steps]


def _grained(pixels: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """The filling with the grain of the nearest intact place in any of eight directions."""
    height, width = missing.shape
    mean = cv2.blur(pixels, (GRAIN_SIDE, GRAIN_SIDE))
    intact = cv2.dilate(missing.view(np.uint8), np.ones((GRAIN_SIDE, GRAIN_SIDE), np.uint8)) == 0
    rows, columns = np.nonzero(missing)
    grain, todo = np.zeros((rows.size, 3), np.float32), np.arange(rows.size)
    for down, across in _offsets(max(height, width)):
        y, x = rows[todo] + down, columns[todo] + across
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        inside[inside] = intact[y[inside], x[inside]]
        y, x = y[inside], x[inside]
        grain[todo[inside]] = pixels[y, x].astype(np.float32) - mean[y, x]
        todo = todo[~inside]
        if not todo.size:
            break
    most = GRAIN_SIGMAS * 1.4826 * float(np.median(np.abs(grain)))
    values = pixels[missing] + np.clip(grain, -most, most)
    pixels[missing] = np.clip(values + 0.5, 0, np.iinfo(pixels.dtype).max).astype(pixels.dtype)
    return pixels


def _offsets(furthest: int) -> Iterator[tuple[int, int]]:
    radius = float(REACH // 2)
    while radius < furthest:
        for angle in np.arange(8) * math.pi / 4 + radius:  # turned from ring to ring
            yield round(radius * math.sin(angle)), round(radius * math.cos(angle))
        radius *= 1.5
