"""Mean absolute error."""

from __future__ import annotations

from torch import Tensor


def l1(fake: Tensor, real: Tensor) -> Tensor:
    """L = mean |fake - real| over all elements; computed in float32 whatever the input's precision."""
    return (fake.float() - real.float()).abs().mean()
