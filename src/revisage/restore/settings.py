"""What a caller may choose: once per Restorer (`Settings`) and per photo (`RestoreOptions`)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from revisage.errors import UsageError
from revisage.image import DecodeLimits

AUTO_SCALE_BELOW = 1600
"""Long side in pixels under which `scale="auto"` doubles a photo."""

GUARD_DEGREES = 65.0
"""The server's guard unless another is chosen. At most about one in a hundred pairs of photos of two people
have a smaller angle (`benchmarks/guard.py`), so a face within it would still pass for the same person."""

CLEAN = 0.5
"""How strongly the rest of a photo is cleaned unless told."""

DEVICES = ("auto", "cpu", "gpu")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
SCALES = (1, 2, 4)
COLOURS = ("keep", "enhance")


@dataclass(frozen=True)
class Settings:
    """Choices that stay for the life of a Restorer.

    Args:
        model: face model: "auto" (best installed), "none", or a name.
        scene: model for the rest of the picture: "auto", "none" (Lanczos resampling), a name, or a mixture of
            two of one architecture: "NAME:0.3" (with the twin that the catalogue gives) or "NAME+OTHER:0.3".
        device: "auto", "cpu" or "gpu".
        precision: "auto", "fp32", "bf16" or "fp16".
        threads: CPU threads of one model run; None lets the runtime choose.
        memory: MiB that the tiles of the photos in hand may take; None for a quarter of what is free, at
            most 1,024. With little, tiles are smaller and it takes longer; the picture stays the same.
        limits: what an untrusted photo may cost to decode.
    """

    model: str = "auto"
    scene: str = "auto"
    device: str = "auto"
    precision: str = "auto"
    threads: int | None = None
    memory: int | None = None
    limits: DecodeLimits = field(default_factory=DecodeLimits)

    def __post_init__(self) -> None:
        for name in ("model", "scene"):
            if not getattr(self, name):
                raise UsageError(f"--{name} is empty: give auto, none or the name of a model")
        if self.device not in DEVICES:
            raise UsageError(f"device {self.device!r}: choose one of {', '.join(DEVICES)}")
        if self.precision not in PRECISIONS:
            raise UsageError(f"precision {self.precision!r}: choose one of {', '.join(PRECISIONS)}")
        if self.threads is not None and self.threads < 1:
            raise UsageError(f"threads {self.threads}: give at least 1, or None")
        if self.memory is not None and self.memory < 1:
            raise UsageError(f"memory {self.memory}: give at least 1 MiB, or None")


@dataclass(frozen=True)
class RestoreOptions:
    """Choices for one photo.

    Args:
        strength: 0 (each face as the background model left it) to 1 (fully restored).
        clean: how strongly the rest of the photo is cleaned of noise and blocks, 0 (its grain stays) to 1, by
            a scene model that can be told (`revisage-scene-x2`); others always do what they do.
        scale: "auto" (2 where the long side is under 1,600 px, else 1), 1, 2 or 4; also as text.
        faces: "all", "largest", or indices in report order (largest first, from 0): "0,2" or (0, 2).
        colour: "keep" (hue and saturation of the photo) or "enhance" (the model's colours).
        aligned: the photo is a face crop on the FFHQ template, or a whole picture of one face where the model
            takes these; the result has the model's square size.
        guard: largest angle in degrees, 0 to 180, between a face's embeddings before and after; a face that
            would drift further is restored less, or left. None: any angle.
    """

    strength: float = 1.0
    scale: str | int = "auto"
    faces: str | Sequence[int] = "all"
    colour: str = "keep"
    aligned: bool = False
    guard: float | None = None
    clean: float = CLEAN

    def __post_init__(self) -> None:
        if not (math.isfinite(self.clean) and 0 <= self.clean <= 1):
            raise UsageError(f"clean {self.clean}: give a number from 0 to 1")
        if not (math.isfinite(self.strength) and 0 <= self.strength <= 1):
            raise UsageError(f"strength {self.strength}: give a number from 0 to 1")
        if self.guard is not None and not (math.isfinite(self.guard) and 0 <= self.guard <= 180):
            raise UsageError(f"guard {self.guard}: give degrees from 0 to 180")
        if self.colour not in COLOURS:
            raise UsageError(f"colour {self.colour!r}: choose one of {', '.join(COLOURS)}")
        self.factor((1, 1))
        self.chosen(0)

    def factor(self, size: tuple[int, int]) -> int:
        """The upscaling factor for a photo of `size` (width, height)."""
        if self.scale == "auto":
            return 2 if max(size) < AUTO_SCALE_BELOW else 1
        for scale in SCALES:
            if self.scale in (scale, str(scale)):
                return scale
        raise UsageError(f"scale {self.scale!r}: choose one of auto, 1, 2, 4")

    def chosen(self, count: int) -> frozenset[int]:
        """Which of `count` faces, counted from the largest, to restore; indices beyond are ignored."""
        if self.faces == "all":
            return frozenset(range(count))
        if self.faces == "largest":
            return frozenset(range(min(count, 1)))
        wanted = self.faces.split(",") if isinstance(self.faces, str) else self.faces
        try:
            indices = [int(index) for index in wanted]
        except (TypeError, ValueError):
            indices = [-1]
        if not indices or min(indices) < 0:
            raise UsageError(f"faces {self.faces!r}: give all, largest, or indices from 0 such as 0,2")
        return frozenset(index for index in indices if index < count)
