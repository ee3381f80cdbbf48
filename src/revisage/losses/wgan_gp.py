"""The Wasserstein loss of a critic and its generator, with a gradient penalty.

Source: Gulrajani et al., *Improved Training of Wasserstein GANs*, NIPS 2017, equation 3; 004, equation 2.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def wasserstein_generator(fake: Tensor) -> Tensor:
    """L = -mean D(G(x)), from the critic's scores of restored pictures, any shape."""
    return -fake.float().mean()


def wasserstein_critic(real: Tensor, fake: Tensor) -> Tensor:
    """L = mean D(G(x)) - mean D(y), from scores of any shape: minus the distance the critic has found."""
    return fake.float().mean() - real.float().mean()


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor:
    """L = mean (|dD(z)/dz| - 1)² at z = e y + (1 - e) G(x), where e ~ U(0, 1) is drawn for each picture.

    real, fake: (N, ...) of one shape; the norm is over all values of a picture; the weight (10 as published)
    is left to the caller. The critic runs in float32 even inside autocast: the second derivative of 16-bit
    numbers is mostly rounding.
    """
    with torch.autocast(real.device.type, enabled=False):
        real, fake = real.detach().float(), fake.detach().float()
        share = torch.rand(len(real), *[1] * (real.ndim - 1), device=real.device)
        between = (share * real + (1 - share) * fake).requires_grad_()
        (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
        # A root has no slope at zero: a critic that has not learned yet would give NaN.
        norm = (gradient.flatten(1).square().sum(1) + 1e-12).sqrt()
        return (norm - 1).square().mean()
