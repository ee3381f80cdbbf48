"""The contact sheet: a row a picture, input, methods and truth beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from revisage.files import write_atomically
from revisage.image import Photo, encode
from revisage.lab.evaluate.data import fit, read
from revisage.lab.evaluate.results import Results
from revisage.lab.evaluate.run import folder_of, picture_of, truth_folder

ROWS = 8
_CELL = 192
_STRIP = 22
_GAP = 2


def columns(results: Results, out: Path) -> list[tuple[str, Path]]:
    """Title and folder of each column: the input first, the truth last where there is one."""
    folders = [(label, folder_of(out, label, i)) for i, label in enumerate(results.methods)]
    folders.sort(key=lambda column: column[0] != "input")  # stable: the others keep their order
    if results.facts["data"]["kind"] != "images":
        folders.append(("truth", truth_folder(out)))
    return folders


def spread(names: Sequence[str], count: int) -> list[str]:
    """At most `count` of the names, evenly spread over them."""
    if len(names) <= count:
        return list(names)
    return [names[i * len(names) // count] for i in range(count)]


def write(results: Results, out: Path, path: Path) -> None:
    """Draw at most `ROWS` pictures into a PNG. Raises SaveError when it cannot be written."""
    shown = columns(results, out)
    rows = spread(results.names, ROWS)
    height, width = _STRIP + len(rows) * (_CELL + _GAP), len(shown) * (_CELL + _GAP) - _GAP
    canvas = Image.new("RGB", (width, height), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=13)
    for x, (title, folder) in enumerate(shown):
        left = x * (_CELL + _GAP)
        draw.text((left + 3, 3), _shortened(title, font), fill="black", font=font)
        for y, name in enumerate(rows):
            cell = Image.fromarray(_cell(read(picture_of(folder, name))))
            top = _STRIP + y * (_CELL + _GAP)
            canvas.paste(cell, (left + (_CELL - cell.width) // 2, top + (_CELL - cell.height) // 2))
    write_atomically(path, encode(Photo(np.array(canvas)), format="PNG"))


def _cell(picture: np.ndarray) -> np.ndarray:
    scale = _CELL / max(picture.shape[:2])
    return fit(picture, *(max(1, round(side * scale)) for side in picture.shape[:2]))


def _shortened(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    if font.getlength(text) <= _CELL - 6:
        return text
    while len(text) > 1 and font.getlength(text + "…") > _CELL - 6:
        text = text[:-1]
    return text + "…"
