"""Charbonnier's smooth absolute error."""

from __future__ import annotations

import torch
from torch import Tensor


def charbonnier(fake: Tensor, real: Tensor, epsilon: float = 1e-3) -> Tensor:
    """L = mean sqrt((fake - real)² + ε²) - ε, zero for equal pictures.

    Charbonnier et al., *Two deterministic half-quadratic regularization algorithms*, ICIP 1994. Close to
    the absolute error, but with a gradient that fades near zero, so that pixels that are already right
    stay so. ε is in units of the picture's range.
    """
    return (torch.sqrt((fake.float() - real.float()).square() + epsilon**2) - epsilon).mean()
