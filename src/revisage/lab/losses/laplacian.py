"""The error of every frequency band alike."""

import torch
import torch.nn.functional as F
from torch import Tensor

from revisage.lab.losses.pixel import l1


def laplacian(fake: Tensor, real: Tensor, levels: int = 4) -> Tensor:
    """L = sum_k mean |Lap_k(fake) - Lap_k(real)| over `levels` bands of a Laplacian pyramid and what is left.

    Bojanowski et al., *Optimizing the Latent Space of Generative Networks*, ICML 2018, eq. 2: a band has a
    quarter of the pixels of the one before and four times the weight, so that each mean counts once. fake,
    real: (N, 3, H, W), sides multiples of 2^levels. The filter is binomial, 5 x 5.
    """
    error = fake.float() - real.float()  # the pyramid is linear
    total, zero = torch.zeros((), device=error.device), torch.zeros_like
    for _ in range(levels):
        coarse = F.avg_pool2d(_smooth(error), 2)
        fine = error - _smooth(F.interpolate(coarse, scale_factor=2.0, mode="nearest"))
        total = total + l1(fine, zero(fine))
        error = coarse
    return total + l1(error, zero(error))


def _smooth(x: Tensor) -> Tensor:
    line = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], device=x.device) / 16
    kernel = line.expand(x.shape[1], 1, -1)
    x = F.pad(x, (2, 2, 2, 2), mode="replicate")
    return F.conv2d(F.conv2d(x, kernel[..., None], groups=x.shape[1]), kernel[:, :, None], groups=x.shape[1])
