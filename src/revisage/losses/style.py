"""The Gram-matrix style loss."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from revisage.losses.l1 import l1


def gram(features: Tensor) -> Tensor:
    """G = ψ ψᵀ / (C H W), where ψ is a feature map as C rows of H·W: (N, C, H, W) -> (N, C, C).

    Gatys et al., *Image Style Transfer Using Convolutional Neural Networks*, CVPR 2016, eq. 3; divided by
    the size of the map as in Johnson et al., ECCV 2016, eq. 3. Computed in float32.
    """
    n, c, h, w = features.shape
    rows = features.float().reshape(n, c, h * w)
    return rows @ rows.transpose(1, 2) / (c * h * w)


def style(fake: Sequence[Tensor], real: Sequence[Tensor], weights: Sequence[float] | None = None) -> Tensor:
    """L = sum_l w_l mean |gram(ψ_l(fake)) - gram(ψ_l(real))| over feature maps ψ_l, each (N, C_l, H_l, W_l).

    GFP-GAN, §3.5, eq. 7: there ψ are features of a component's discriminator, and all weights are 1. Its
    published code has the same over VGG-19's features, weighted as in the perceptual loss.
    """
    total = torch.zeros((), device=real[0].device)
    for a, b, weight in zip(fake, real, weights or [1.0] * len(real), strict=True):
        total = total + weight * l1(gram(a), gram(b))
    return total
