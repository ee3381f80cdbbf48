"""What a client may choose for one photo: the same as on the command line."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from revisage.errors import UsageError
from revisage.image import FORMAT_OF_EXTENSION
from revisage.restore import RestoreOptions

FORMATS = tuple(sorted(set(FORMAT_OF_EXTENSION.values())))
"""Formats that are read and written."""

EXTENSION = {
    "JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "TIFF": ".tif", "BMP": ".bmp", "HEIF": ".heic",
    "AVIF": ".avif",
}  # fmt: skip

MEDIA_TYPE = {
    "JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "TIFF": "image/tiff", "BMP": "image/bmp",
    "HEIF": "image/heic", "AVIF": "image/avif",
}  # fmt: skip


@dataclass(frozen=True)
class JobOptions:
    """Choices for one photo. Raises UsageError for a value that makes no sense.

    Args:
        strength, scale, faces, colour, aligned, guard: see `revisage.restore.RestoreOptions`.
        format: of the result, "auto" (the photo's own where it can be written, else PNG) or one of `FORMATS`.
        quality: 1 to 100, of lossy formats.
        keep_gps: keep the place where the photo was taken.
        label: mark the result as edited with AI.
        previews: also make small pictures of the photo and its result, and of the result without and with all
            faces, from which a page can show any strength and choice of faces.
    """

    strength: float = 1.0
    scale: str = "auto"
    faces: str = "all"
    colour: str = "keep"
    aligned: bool = False
    guard: float | None = None
    format: str = "auto"
    quality: int = 95
    keep_gps: bool = False
    label: bool = True
    previews: bool = False

    def __post_init__(self) -> None:
        self.restoring()
        if self.format != "auto" and self.format not in FORMATS:
            raise UsageError(f"format {self.format!r}: choose one of auto, {', '.join(FORMATS)}")
        if not 1 <= self.quality <= 100:
            raise UsageError(f"quality {self.quality}: give a number from 1 to 100")

    def restoring(self, guard: float | None = None) -> RestoreOptions:
        """The part that the Restorer takes; `guard` is for a request that names none."""
        guard = guard if self.guard is None else self.guard
        return RestoreOptions(self.strength, self.scale, self.faces, self.colour, self.aligned, guard)

    def to_json(self) -> str:
        """One text for equal options."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> JobOptions:
        """The options that `to_json` wrote."""
        values: dict[str, Any] = json.loads(text)
        return cls(**values)
