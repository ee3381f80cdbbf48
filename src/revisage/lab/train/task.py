"""What a system gives to the training loop."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor, nn

from revisage.lab.data.loader import Sample

Batch = dict[str, Tensor]


@dataclass(frozen=True)
class Phase:
    """One optimiser's part of a step. Phases run in order on one batch; each may add to it."""

    name: str
    """Appears before the loss names in the log."""
    network: str
    """Key of the network whose parameters this phase updates."""
    losses: Callable[[Batch], dict[str, Tensor]]
    """Batch -> named losses, already weighted; their sum is minimised."""
    interval: int = 1
    """The phase runs in every n-th step (lazy regularisation)."""
    rate: float = 1.0
    """Multiple of the loop's learning rate."""
    fixed: tuple[str, ...] = ()
    """What the names of parameters start with that are not updated."""
    beta1: float | None = None
    """Adam's first decay rate for this network instead of the loop's. Phases of one network share an
    optimiser, and with it this number."""
    clipped: bool = True
    """Whether a long gradient is scaled down to the loop's `clip`. A discriminator's is not: clipped, the
    lazy penalty, which takes 16 times as much in every 16th step, would be a sixteenth of itself."""


class Task(Protocol):
    """A system to train: its networks, its samples, its phases and its validation."""

    networks: dict[str, nn.Module]
    """Everything that is trained, by name."""
    averaged: str
    """Key of the network that is shipped; its moving average is validated and saved."""
    best: str
    """The validation figure that decides which checkpoint is best; higher is better."""

    def phases(self) -> list[Phase]: ...

    def sample(self, index: int) -> Sample:
        """Training sample number `index`, drawn from that number and the seed alone. Thread-safe."""

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Figures on held-out data, the same in every run."""

    def pictures(self, network: nn.Module) -> np.ndarray:
        """(H, W, 3) uint8: held-out inputs, outputs and truths side by side."""
