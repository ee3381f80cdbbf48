"""The curves of a training, drawn from its log.csv."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

_PANEL, _MARGIN = (
    (480, 240),
    (64, 28),
)  # width and height of a panel, and of what is left free around its axes
_LEFT_OUT = ("gradient", "images/s", "data wait", "skipped", "rate")
_COLOURS = ((31, 119, 180), (214, 39, 40), (44, 160, 44), (148, 103, 189), (255, 127, 14), (90, 90, 90))


def read_log(file: Path) -> dict[str, dict[str, np.ndarray]]:
    """Group (train, validation, pull) -> name -> (N, 2) float64: images seen and value, in their order."""
    rows: dict[str, dict[str, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    with file.open(newline="") as text:
        for images, group, name, value in csv.reader(text):
            rows[group][name].append((float(images), float(value)))
    return {
        group: {name: np.array(points) for name, points in names.items()} for group, names in rows.items()
    }


def draw(file: Path) -> np.ndarray:
    """A panel for each loss and figure of a log, (H, W, 3) uint8.

    A loss of several phases has a line for each, and a figure one more for the input's own ("input_psnr").
    How hard the losses of a phase pull is one panel.
    """
    panels: dict[str, dict[str, np.ndarray]] = defaultdict(dict)
    for group, names in read_log(file).items():
        for name, points in names.items():
            phase, _, loss = name.rpartition("/")
            key = {"validation": name.removeprefix("input_"), "pull": f"on the {phase}"}.get(group, loss)
            if key not in _LEFT_OUT and not name.endswith(_LEFT_OUT):
                panels[f"{group} {key}"][name] = points
    drawn = [_panel(title, lines) for title, lines in panels.items()]
    if not drawn:
        return np.full((_PANEL[1], _PANEL[0], 3), 255, np.uint8)
    columns = min(3, len(drawn))
    drawn += [np.full_like(drawn[0], 255)] * (-len(drawn) % columns)
    rows = [np.concatenate(drawn[i : i + columns], axis=1) for i in range(0, len(drawn), columns)]
    return np.concatenate(rows, axis=0)


def write(file: Path) -> None:
    """`draw`, as curves.png beside the log."""
    Image.fromarray(draw(file)).save(file.with_name("curves.png"))


def _panel(title: str, lines: dict[str, np.ndarray]) -> np.ndarray:
    (width, height), (left, edge) = _PANEL, _MARGIN
    panel = np.full((height, width, 3), 255, np.uint8)
    every = np.concatenate(list(lines.values()))
    every = every[np.isfinite(every).all(1)]
    low, high = (every.min(0), every.max(0)) if len(every) else (np.zeros(2), np.ones(2))
    span = np.where(high > low, high - low, 1.0)
    area = np.array([width - left - 12, height - 2 * edge])
    cv2.rectangle(panel, (left, edge), (left + int(area[0]), edge + int(area[1])), (200, 200, 200))
    _text(panel, title, (left, edge - 10))
    for value, y in ((high[1], edge + 8), (low[1], height - edge)):
        _text(panel, f"{value:.4g}", (4, y))
    _text(panel, f"{high[0]:,.0f} images", (width - 130, height - 8))
    for (name, points), colour in zip(
        lines.items(), _COLOURS * (1 + len(lines) // len(_COLOURS)), strict=False
    ):
        kept = points[np.isfinite(points).all(1)]
        place = (kept - low) / span * area
        pixels = np.rint(np.column_stack((left + place[:, 0], height - edge - place[:, 1]))).astype(np.int32)
        for x, y in pixels if len(pixels) == 1 else ():
            cv2.circle(panel, (int(x), int(y)), 3, colour, -1, cv2.LINE_AA)
        cv2.polylines(panel, [pixels.reshape(-1, 1, 2)], False, colour, 1, cv2.LINE_AA)
        if len(lines) > 1:
            row, column = divmod(list(lines).index(name), 4)
            phase, _, loss = name.rpartition("/")
            same = len({other.rpartition("/")[2] for other in lines}) == 1
            _text(panel, phase if same else loss, (left + 8 + 100 * column, edge + 16 * (row + 1)), colour)
    return panel


def _text(
    panel: np.ndarray, text: str, place: tuple[int, int], colour: tuple[int, int, int] = (0, 0, 0)
) -> None:
    cv2.putText(panel, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, colour, 1, cv2.LINE_AA)
