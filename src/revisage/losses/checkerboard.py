"""The part of an error that repeats from block to block.

The pattern: Odena et al., *Deconvolution and Checkerboard Artifacts*, Distill 2016. The loss is ours.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


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
