"""One restored photo: its pixels, what became of each face, and how to save it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import revisage
from revisage.errors import SaveError
from revisage.image import Photo, encode, save
from revisage.label import Label, add, packet
from revisage.restore.report import FaceReport, document

if TYPE_CHECKING:
    from PIL import Image


@dataclass
class Result:
    """What `Restorer.restore` returns; saving it adds `output` and the time taken to the report.

    Args:
        photo: the restored photo with the input's alpha, profile and metadata.
        faces: one entry per face found, largest first.
        input: path of the source, None for bytes, images and arrays.
        size_in: width and height of the input, upright.
        scale: the factor applied.
        background: how everything outside the faces was made, in words.
        models: name and version by task ("face", "scene", "finder"); None where none was used.
        changed_by: models that changed pixels of this photo: what the label names.
        runtime: backend, device and precision; None where no model ran.
        seconds: time by stage.
        output: where the result was saved last.
    """

    photo: Photo
    faces: tuple[FaceReport, ...]
    input: Path | None
    size_in: tuple[int, int]
    scale: int
    background: str
    models: dict[str, str | None]
    changed_by: tuple[str, ...]
    runtime: dict[str, str] | None
    seconds: dict[str, float]
    output: Path | None = None

    @property
    def pixels(self) -> np.ndarray:
        """(H, W, 3) RGB in the photo's own depth, uint8 or uint16."""
        return self.photo.pixels

    @property
    def image(self) -> Image.Image:
        """The result for Pillow in 8 bits per channel: L, LA, RGB or RGBA."""
        from PIL import Image

        pixels = self.photo.pixels[..., :1] if self.photo.gray else self.photo.pixels
        if self.photo.alpha is not None:
            pixels = np.dstack([pixels, self.photo.alpha])
        if pixels.dtype == np.uint16:
            pixels = ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
        return Image.fromarray(np.ascontiguousarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels))

    def save(
        self, path: str | Path, *, quality: int = 95, keep_gps: bool = False, label: bool = True
    ) -> Path:
        """Write the photo, whole or not at all, in the format of the path's extension.

        Args:
            path: where to; never the file that was read.
            quality: 1 to 100 for lossy formats.
            keep_gps: keep the place the photo was taken.
            label: write the AI-edit label with the models that changed the photo; without any, no label.

        Raises:
            SaveError: the path is the original, or cannot be written.
        """
        path = Path(path)
        if self.input is not None and _same(path, self.input):
            raise SaveError(f"{path} is the original and is never written to: choose another name")
        start = time.perf_counter()
        photo, finish = self._labelled() if label and self.changed_by else (self.photo, None)
        saved = save(photo, path, quality=quality, keep_gps=keep_gps, finish=finish)
        self.seconds["encode"] = round(time.perf_counter() - start, 4)
        self.output = saved
        return saved

    def encode(
        self, format: str | None = None, *, quality: int = 95, keep_gps: bool = False, label: bool = True
    ) -> bytes:
        """The photo as a file of `format` (default: its source's), labelled as `save` does."""
        start = time.perf_counter()
        format = format or self.photo.format
        photo, finish = self._labelled() if label and self.changed_by else (self.photo, None)
        data = encode(photo, format=format, quality=quality, keep_gps=keep_gps)
        data = data if finish is None else finish(data, format)
        self.seconds["encode"] = round(time.perf_counter() - start, 4)
        return data

    def _labelled(self) -> tuple[Photo, Callable[[bytes, str], bytes]]:
        """The photo with the label in its XMP, which all encoders but BMP's write, and what puts it into
        files whose encoder had to leave a large XMP out."""
        label = Label(f"revisage {revisage.__version__}", self.changed_by)
        photo = replace(self.photo, xmp=packet(label, self.photo.xmp))
        return photo, lambda data, format: add(data, format, label)

    def entry(self) -> dict[str, Any]:
        """This photo's part of a report, in JSON types."""
        height, width = self.photo.pixels.shape[:2]
        return {
            "input": None if self.input is None else str(self.input),
            "output": None if self.output is None else str(self.output),
            "status": "restored",
            "error": None,
            "size_in": list(self.size_in),
            "size_out": [width, height],
            "scale": self.scale,
            "background": self.background,
            "models": dict(self.models),
            "runtime": self.runtime,
            "seconds": dict(self.seconds),
            "faces": [face.entry() for face in self.faces],
        }

    def report(self) -> dict[str, Any]:
        """The report of this photo alone; `restore.document` makes one of many entries."""
        return document([self.entry()])


def _same(first: Path, second: Path) -> bool:
    try:
        return first.samefile(second)
    except OSError:
        return first.absolute() == second.absolute()
