"""What decoding one photo may take."""

from __future__ import annotations

from dataclasses import dataclass

from revisage.errors import UsageError

PATIENCE = 3


@dataclass(frozen=True)
class DecodeLimits:
    """Bounds on one decoding. Raises UsageError when one is not positive."""

    max_pixels: int = 50_000_000
    """Width times height, checked before any pixel is decoded."""
    memory_bytes: int = 2 << 30
    """Address space that decoding may take beyond the interpreter's own (isolated decoding on Linux)."""
    seconds: float = 10.0
    """Processor time (isolated decoding; not on Windows). By the clock it may take `PATIENCE` times as
    long, so that a busy machine refuses no good photo."""

    def __post_init__(self) -> None:
        if self.max_pixels < 1 or self.memory_bytes < 1 or not self.seconds > 0:
            raise UsageError(f"decode limits must be positive, not {self}")
