"""How long and how fast to train."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from revisage.errors import UsageError

PRECISIONS = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": None}


@dataclass(frozen=True)
class LoopSettings:
    """How long and how fast to train.

    Attributes:
        images: length of the training in images seen.
        hours: length in hours of training time instead (summed over restarts); the learning rate then
            follows the clock. Exactly one of the two is set.
        batch: images a step, over all processes.
        rate: peak learning rate of Adam; warmed up, then cosine to zero. A phase may have a multiple of it.
        beta1, beta2: Adam's decay rates.
        optimizer: "adam", or "muon" for the network that is averaged (`revisage.lab.train.muon`): more
            progress a step, and longer steps.
        warmup: images over which the rate rises linearly.
        ema: half-life of the averaged weights in images.
        clip: gradient norm above which the gradient is scaled down.
        precision: "bf16" or "fp16" autocast (fp16 with a scaled loss), or "fp32".
        device: "auto" (a GPU where there is one), "cpu" or "cuda".
        threads: cores for the arithmetic; None takes all.
        loaders: threads that prepare samples.
        log_every, save_every: seconds between log lines and between checkpoints.
        validate_every: seconds between validations with a picture grid.
        seed: of what a step draws in torch. Samples and initial weights have the task's own seed.

    Raises UsageError when a value cannot be used.
    """

    images: int | None = None
    hours: float | None = None
    batch: int = 8
    rate: float = 1e-3
    warmup: int = 1000
    ema: float = 5000
    beta1: float = 0.9
    beta2: float = 0.99
    optimizer: str = "adam"
    clip: float = 1.0
    precision: str = "bf16"
    device: str = "auto"
    threads: int | None = None
    loaders: int = 1
    log_every: float = 30
    save_every: float = 300
    validate_every: float = 900
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.images is None) == (self.hours is None):
            raise UsageError("set either images or hours as the length of the training")
        if self.precision not in PRECISIONS:
            raise UsageError(f"precision must be {', '.join(PRECISIONS)}, got {self.precision!r}")
        if self.optimizer not in ("adam", "muon"):
            raise UsageError(f"optimizer must be adam or muon, got {self.optimizer!r}")
        if self.device not in ("auto", "cpu", "cuda"):
            raise UsageError(f"device must be auto, cpu or cuda, got {self.device!r}")
        for name in ("images", "hours", "batch", "rate", "ema", "clip", "threads", "loaders"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UsageError(f"{name} must be above 0, got {value}")
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 0 and below 1, got {getattr(self, name)}")
        if self.seed < 0:
            raise UsageError(f"seed must be at least 0, got {self.seed}")
