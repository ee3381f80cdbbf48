"""Structural similarity."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def _window(sigma: float, size: int, device: torch.device) -> Tensor:
    x = torch.arange(size, device=device, dtype=torch.float32) - size // 2
    g = torch.exp(-(x**2) / (2 * sigma**2))
    return g / g.sum()


def ssim(fake: Tensor, real: Tensor) -> Tensor:
    """Mean SSIM over the three RGB channels: two (N, 3, H, W) in [0, 1], 11 px or more a side -> (N,).

    Wang et al., *Image quality assessment: from error visibility to structural similarity*, 2004:
    Gaussian window 11x11, sigma 1.5, K1 0.01, K2 0.03, data range 1, no padding, population covariance.
    """
    x, y = fake.float().clamp(0, 1), real.float().clamp(0, 1)
    w = _window(1.5, 11, x.device)
    n, c = x.shape[:2]

    def blur(z: Tensor) -> Tensor:
        z = F.conv2d(z, w.view(1, 1, 11, 1).expand(c, 1, 11, 1), groups=c)
        return F.conv2d(z, w.view(1, 1, 1, 11).expand(c, 1, 1, 11), groups=c)

    mx, my = blur(x), blur(y)
    vx, vy, cov = blur(x * x) - mx**2, blur(y * y) - my**2, blur(x * y) - mx * my
    c1, c2 = 0.01**2, 0.03**2
    score = ((2 * mx * my + c1) * (2 * cov + c2)) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    return score.reshape(n, -1).mean(1)
