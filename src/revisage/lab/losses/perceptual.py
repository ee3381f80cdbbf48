"""Distances of features: perceptual, style, feature matching."""

from collections.abc import Sequence

import torch
from torch import Tensor

from revisage.lab.losses.pixel import l1

# GFP-GAN, §3.5, for conv1_2, conv2_2, conv3_4, conv4_4, conv5_4 of VGG-19 before activation.
WEIGHTS = (0.1, 0.1, 1.0, 1.0, 1.0)


def perceptual(fake: Sequence[Tensor], real: Sequence[Tensor], weights: Sequence[float] = WEIGHTS) -> Tensor:
    """L = sum_l w_l mean |φ_l(fake) - φ_l(real)| over the feature maps φ_l, (N, C_l, H_l, W_l), of a fixed
    network. Johnson et al., *Perceptual Losses for Real-Time Style Transfer*, ECCV 2016, eq. 2, with L1 in
    place of the square, as Real-ESRGAN and GFP-GAN have it."""
    return torch.stack([w * l1(a, b) for a, b, w in zip(fake, real, weights, strict=True)]).sum()


def gram(features: Tensor) -> Tensor:
    """G = ψ ψᵀ / (C H W), where ψ is a feature map as C rows of H·W: (N, C, H, W) -> (N, C, C), in float32.
    Gatys et al., *Image Style Transfer Using Convolutional Neural Networks*, CVPR 2016, eq. 3; divided as in
    Johnson et al., ECCV 2016, eq. 3."""
    n, c, h, w = features.shape
    rows = features.float().reshape(n, c, h * w)
    return rows @ rows.transpose(1, 2) / (c * h * w)


def style(fake: Sequence[Tensor], real: Sequence[Tensor], weights: Sequence[float] | None = None) -> Tensor:
    """L = sum_l w_l mean |gram(ψ_l(fake)) - gram(ψ_l(real))| over feature maps ψ_l, each (N, C_l, H_l, W_l).
    GFP-GAN, §3.5, eq. 7, for a component's discriminator; its published code for VGG-19 as well."""
    layers = zip(fake, real, weights or [1.0] * len(real), strict=True)
    return torch.stack([w * l1(gram(a), gram(b)) for a, b, w in layers]).sum()


def feature_matching(fake: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
    """L = 1/K sum_k mean |D_k(x) - D_k(y)| over a discriminator's features, pairs of one shape; `real` is
    fixed. Wang et al., *High-Resolution Image Synthesis with Conditional GANs*, CVPR 2018, eq. 4."""
    if len(fake) != len(real) or not fake:
        raise ValueError(f"two lists of the same length are needed, got {len(fake)} and {len(real)}")
    return torch.stack([l1(a, b.detach()) for a, b in zip(fake, real, strict=True)]).mean()
