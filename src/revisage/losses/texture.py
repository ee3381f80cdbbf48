"""Fine texture as strong as in the truth, wherever it may lie."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

FLOOR = 0.5 / 127.5
"""Half a gray level: what is weaker is lost when a picture is written."""


def texture(picture: Tensor, real: Tensor, scales: int = 2, window: int = 16) -> Tensor:
    """L = mean over scales and places of |log c(picture) - log c(real)|; two (N, C, H, W) in [-1, 1] -> ().

    c is the root mean square, in a window of `window` pixels, of what a binomial filter of 3 x 3 takes away
    from the gray picture; the next scale is half the size. Where the details lie does not matter, as no
    degraded picture tells it: L1 answers that with smoothness, this loss asks for as much as the truth has.
    In spirit the local energies of texture synthesis (Heeger and Bergen, *Pyramid-Based Texture
    Analysis/Synthesis*, SIGGRAPH 1995). H and W: at least `window`.
    """
    a, b = (x.float().mean(dim=1, keepdim=True) for x in (picture, real))
    total = torch.zeros((), device=a.device)
    for scale in range(scales):
        if scale:
            a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
        total = total + (_contrast(a, window >> scale) - _contrast(b, window >> scale)).abs().mean()
    return total / scales


def _contrast(x: Tensor, window: int) -> Tensor:
    """(N, 1, H, W) -> logarithms of the local contrast, windows half a side apart."""
    line = torch.tensor([0.25, 0.5, 0.25], device=x.device)
    fine = x - F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), torch.outer(line, line).view(1, 1, 3, 3))
    return (F.avg_pool2d(fine.square(), window, window // 2) + FLOOR**2).log() / 2
