"""Distances of pixels, of their frequency bands, and of numbers."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from revisage.lab.filters import BINOMIAL, smoothed


def l1(fake: Tensor, real: Tensor) -> Tensor:
    """L = mean |fake - real| over all elements; computed in float32 whatever the input's precision."""
    return (fake.float() - real.float()).abs().mean()


def pyramid(pictures: Sequence[Tensor], real: Tensor) -> Tensor:
    """L = sum_s mean |picture_s - real_s| over pictures (N, 3, s, s), where real_s is real (N, 3, S, S)
    averaged to that size: holds the U-Net's RGB output at every scale to the truth (GFP-GAN, §3.2)."""
    losses = (l1(p, F.interpolate(real, size=p.shape[-2:], mode="area")) for p in pictures)
    return sum(losses, torch.zeros((), device=real.device))


def checkerboard(picture: Tensor, real: Tensor, period: int) -> Tensor:
    """L = mean comb(picture - real)^2; (N, 3, H, W) twice, H and W multiples of `period` -> (). The comb
    takes away what is smooth over a period, then the mean of 3 x 3 pixels `period` apart: a pattern with that
    period stays, with which a network that writes whole blocks can fool a discriminator."""
    error = picture.float() - real
    box = np.full(period, 1 / period)
    sharp = error - smoothed(error, tuple(np.convolve(box, box).tolist()))  # two boxes: centred
    comb = (1 / 3, *(0.0,) * (period - 1), 1 / 3, *(0.0,) * (period - 1), 1 / 3)
    inner = (..., *(slice(period, -period),) * 2)  # where all three lie in the picture
    return smoothed(sharp, comb)[inner].float().square().mean()


def laplacian(fake: Tensor, real: Tensor, levels: int = 4) -> Tensor:
    """L = sum_k mean |Lap_k(fake) - Lap_k(real)| over `levels` bands of a Laplacian pyramid and what is left.

    Bojanowski et al., *Optimizing the Latent Space of Generative Networks*, ICML 2018, eq. 2: a band has a
    quarter of the pixels of the one before and four times the weight, so that each mean counts once. fake,
    real: (N, 3, H, W), sides multiples of 2^levels. The filter is binomial, 5 x 5.
    """
    error = fake.float() - real.float()  # the pyramid is linear
    total, zero = torch.zeros((), device=error.device), torch.zeros_like
    for _ in range(levels):
        coarse = half(error)
        fine = error - smoothed(F.interpolate(coarse, scale_factor=2.0, mode="nearest"), BINOMIAL)
        total = total + l1(fine, zero(fine))
        error = coarse
    return total + l1(error, zero(error))


def half(picture: Tensor) -> Tensor:
    """The next level of a pyramid: (N, C, H, W) smoothed by a binomial filter and averaged to half."""
    return smoothed(picture, BINOMIAL, 2)


def description(said: Tensor, drawn: Tensor) -> Tensor:
    """L = mean smooth L1; said, drawn: (N, K), NaN where nothing was drawn, which counts as no error."""
    known = torch.isfinite(drawn)
    error = F.smooth_l1_loss(said.float(), torch.where(known, drawn, said.detach().float()), reduction="none")
    return (error * known).mean()
