"""Adversarial losses of generator and discriminator, and their regularisation."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def generator_logistic(fake: Tensor) -> Tensor:
    """L = mean softplus(-D(G(x))), from the logits of restored or generated pictures, any shape. Goodfellow
    et al., *Generative Adversarial Nets*, NIPS 2014, §3 (non-saturating form); GFP-GAN, eq. 6."""
    return F.softplus(-fake.float()).mean()


def discriminator_logistic(real: Tensor, fake: Tensor) -> Tensor:
    """L = mean softplus(D(G(x))) + mean softplus(-D(y)), from logits D of any shape. Goodfellow et al. 2014,
    eq. 1."""
    return F.softplus(fake.float()).mean() + F.softplus(-real.float()).mean()


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


def r1(logits: Tensor, real: Tensor) -> Tensor:
    """L = 1/2 mean |dD(y)/dy|², per picture the squared norm over all its values, without its weight γ.

    Mescheder et al., *Which Training Methods for GANs do actually Converge?*, ICML 2018, eq. 9. `real` (N,
    ...) must require a gradient, and `logits` come from it in float32, as for `gradient_penalty`. Run it
    lazily, in every k-th step with k times the weight (StyleGAN2, §3.2).
    """
    (gradient,) = torch.autograd.grad(logits.float().sum(), real, create_graph=True)
    return 0.5 * gradient.float().square().flatten(1).sum(1).mean()


def path_lengths(picture: Tensor, codes: Tensor, noise: Tensor) -> Tensor:
    """|J_wᵀ y| of each picture, (N,): how far a step in the codes moves it; over the layers the squares are
    averaged. picture (N, 3, H, W) made from codes (N, layers, D) that require a gradient; `noise` ~ N(0, 1)
    in the picture's shape. StyleGAN2, §3.2 and appendix B."""
    weighted = (picture.float() * noise).sum() / math.sqrt(picture.shape[2] * picture.shape[3])
    (gradient,) = torch.autograd.grad(weighted, codes, create_graph=True)
    return gradient.float().square().sum(2).mean(1).sqrt()


def path_length(lengths: Tensor, target: Tensor) -> Tensor:
    """L = mean (|J_wᵀ y| - a)², eq. 4 of StyleGAN2; `target` is the running mean a of all lengths so far."""
    return (lengths - target).square().mean()
