"""Peak signal-to-noise ratio."""

import torch
from torch import Tensor


def psnr(fake: Tensor, real: Tensor) -> Tensor:
    """10 log10(1 / MSE) in dB over RGB: two (N, 3, H, W) in [0, 1] -> (N,). Infinite for equal pictures."""
    mse = (fake.float().clamp(0, 1) - real.float().clamp(0, 1)).square().mean(dim=(1, 2, 3))
    return -10 * torch.log10(mse)
