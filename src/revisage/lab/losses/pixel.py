"""Distances of pixels."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def l1(fake: Tensor, real: Tensor) -> Tensor:
    """L = mean |fake - real| over all elements; computed in float32 whatever the input's precision."""
    return (fake.float() - real.float()).abs().mean()


def pyramid(pictures: Sequence[Tensor], real: Tensor) -> Tensor:
    """L = sum_s mean |picture_s - real_s|, where real_s is the ground truth at the size of picture_s.

    Holds the RGB output of every U-Net decoder scale to the ground-truth pyramid (GFP-GAN, §3.2 and
    fig. 2). pictures: list of (N, 3, s, s); real: (N, 3, S, S); the pyramid is made by area averaging.
    """
    total = torch.zeros((), device=real.device)
    for picture in pictures:
        total = total + l1(picture, F.interpolate(real, size=picture.shape[-2:], mode="area"))
    return total


def checkerboard(picture: Tensor, real: Tensor, period: int) -> Tensor:
    """L = mean comb(picture - real)^2; (N, 3, H, W) twice, H and W multiples of `period` -> ().

    The comb takes away what is smooth over a period, then takes the mean of 3 x 3 pixels `period` apart:
    details are averaged away by it, a pattern with that period is not. A network that writes whole blocks
    (pixel-shuffle) can fool a discriminator with such a pattern at next to no cost in other losses.
    """
    error = picture.float() - real
    channels = error.shape[1]
    box = torch.ones(period, device=error.device) / period
    smooth = F.conv1d(box.view(1, 1, -1), box.view(1, 1, -1), padding=period - 1)  # two boxes: centred
    kernel = (smooth.view(1, 1, -1, 1) * smooth.view(1, 1, 1, -1)).expand(channels, 1, -1, -1)
    margin = (period - 1,) * 4
    sharp = error - F.conv2d(F.pad(error, margin, mode="reflect"), kernel, groups=channels)
    phases = F.pixel_unshuffle(sharp, period)
    return F.avg_pool2d(phases, 3, stride=1).square().mean()
