"""R1: a discriminator's gradient at real pictures is held small."""

from __future__ import annotations

import torch
from torch import Tensor


def r1(logits: Tensor, real: Tensor) -> Tensor:
    """L = 1/2 mean |dD(y)/dy|², per picture the squared norm over all its values.

    Mescheder et al., *Which Training Methods for GANs do actually Converge?*, ICML 2018, eq. 9, with γ left
    to the caller. `real` (N, ...) must require a gradient, and `logits` come from it in float32: the second
    derivative of 16-bit numbers is mostly rounding. Run it lazily, in every k-th step with k times the
    weight (StyleGAN2, §3.2).
    """
    (gradient,) = torch.autograd.grad(logits.float().sum(), real, create_graph=True)
    return 0.5 * gradient.float().square().flatten(1).sum(1).mean()
