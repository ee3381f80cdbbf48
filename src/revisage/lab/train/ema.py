"""Moving average of a network's weights."""

from __future__ import annotations

import copy

import torch
from torch import nn


class EMA:
    """Exponential moving average with a half-life counted in images, so that it means the same at any
    batch size (Karras et al., *Analyzing and Improving the Training Dynamics of Diffusion Models*, 2024,
    use images too). In the first images the half-life is shorter, or the random start would linger.
    """

    def __init__(self, network: nn.Module, half_life: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.half_life = half_life

    def restart(self, network: nn.Module) -> None:
        """Take the network's weights as they are."""
        self.network.load_state_dict(network.state_dict())

    @torch.no_grad()
    def update(self, network: nn.Module, batch: int, images: int) -> None:
        half_life = min(self.half_life, max(images, 1) * 0.1)
        weight = 0.5 ** (batch / half_life)
        for average, parameter in zip(self.network.parameters(), network.parameters(), strict=True):
            average.lerp_(parameter.detach(), 1 - weight)
        for kept, buffer in zip(self.network.buffers(), network.buffers(), strict=True):
            kept.copy_(buffer)
