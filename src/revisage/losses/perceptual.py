"""The perceptual loss."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from revisage.losses.l1 import l1

# GFP-GAN, §3.5, for conv1_2, conv2_2, conv3_4, conv4_4, conv5_4 of VGG-19 before activation.
WEIGHTS = (0.1, 0.1, 1.0, 1.0, 1.0)


def perceptual(fake: Sequence[Tensor], real: Sequence[Tensor], weights: Sequence[float] = WEIGHTS) -> Tensor:
    """L = sum_l w_l mean |φ_l(fake) - φ_l(real)| over the feature maps φ_l of a fixed network.

    Johnson et al., *Perceptual Losses for Real-Time Style Transfer*, ECCV 2016, eq. 2, with L1 in place of
    the square, as Real-ESRGAN and GFP-GAN have it. fake, real: one (N, C_l, H_l, W_l) a layer.
    """
    total = torch.zeros((), device=real[0].device)
    for a, b, weight in zip(fake, real, weights, strict=True):
        total = total + weight * l1(a, b)
    return total
