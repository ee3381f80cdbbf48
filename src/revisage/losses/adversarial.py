"""The non-saturating logistic loss of a generator and its discriminator."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def generator_logistic(fake: Tensor) -> Tensor:
    """L = mean softplus(-D(G(x))), from the logits of restored or generated pictures, any shape.

    Goodfellow et al., *Generative Adversarial Nets*, NIPS 2014, §3 (non-saturating form); GFP-GAN, eq. 6.
    """
    return F.softplus(-fake.float()).mean()


def discriminator_logistic(real: Tensor, fake: Tensor) -> Tensor:
    """L = mean softplus(D(G(x))) + mean softplus(-D(y)), from logits of any shape.

    Goodfellow et al. 2014, eq. 1, with D the logit.
    """
    return F.softplus(fake.float()).mean() + F.softplus(-real.float()).mean()
