"""Path length regularisation of a style-based generator."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def path_lengths(picture: Tensor, codes: Tensor, noise: Tensor) -> Tensor:
    """|J_wᵀ y| of each picture, (N,): how far a step in the codes moves the picture.

    picture (N, 3, H, W) made from codes (N, layers, D) that require a gradient; `noise` ~ N(0, 1) in the
    picture's shape. Over the layers the squares are averaged. StyleGAN2, §3.2 and appendix B.
    """
    weighted = (picture.float() * noise).sum() / math.sqrt(picture.shape[2] * picture.shape[3])
    (gradient,) = torch.autograd.grad(weighted, codes, create_graph=True)
    return gradient.float().square().sum(2).mean(1).sqrt()


def path_length(lengths: Tensor, target: Tensor) -> Tensor:
    """L = mean (|J_wᵀ y| - a)², eq. 4 of StyleGAN2; `target` is the running mean a of all lengths so far."""
    return (lengths - target).square().mean()
