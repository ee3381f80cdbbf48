"""Multi-scale structural similarity."""

import torch
import torch.nn.functional as F
from torch import Tensor

from revisage.lab.metrics.ssim import WINDOW, channel_means

_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def scales(side: int) -> int:
    """How many scales a picture has whose shorter side is `side`: as many as the window fits, at most 5."""
    return sum(side >> halvings >= WINDOW for halvings in range(len(_WEIGHTS)))


def ms_ssim(fake: Tensor, real: Tensor) -> Tensor:
    """Mean MS-SSIM over the three RGB channels: two (N, 3, H, W) in [0, 1], 11 px or more a side -> (N,).

    Wang et al., *Multiscale structural similarity*, Asilomar 2003, eq. 7, with SSIM's window and constants
    and 2x2 means between the scales; a negative factor counts as 0. Under 176 px a side the smallest scales
    have no room for the window: they are left out, and the other weights scaled to the same sum.
    """
    x, y = fake.float().clamp(0, 1), real.float().clamp(0, 1)
    count = scales(min(x.shape[2:]))
    weights = torch.tensor(_WEIGHTS[:count], device=x.device)
    factors = []
    for scale in range(count):
        similarity, contrast = channel_means(x, y)
        factors.append(similarity if scale == count - 1 else contrast)
        x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
    stacked = torch.stack(factors, dim=-1).clamp(min=0)  # (N, 3, scales)
    return (stacked ** (weights * (sum(_WEIGHTS) / weights.sum()))).prod(-1).mean(1)
