"""Feature matching."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from revisage.losses.l1 import l1


def feature_matching(fake: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
    """L = 1/K sum_k mean |D_k(x) - D_k(y)| over a discriminator's features, pairs of one shape.

    Wang et al., *High-Resolution Image Synthesis with Conditional GANs*, CVPR 2018, eq. 4. `real` is taken as
    given: no gradient flows into it.
    """
    if len(fake) != len(real) or not fake:
        raise ValueError(f"two lists of the same length are needed, got {len(fake)} and {len(real)}")
    return torch.stack([l1(a, b.detach()) for a, b in zip(fake, real, strict=True)]).mean()
