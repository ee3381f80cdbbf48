"""What a network says of a degradation against what was drawn."""

import torch
import torch.nn.functional as F
from torch import Tensor


def description(said: Tensor, drawn: Tensor) -> Tensor:
    """L = mean smooth L1; said, drawn: (N, K), NaN where nothing was drawn, which counts as no error."""
    known = torch.isfinite(drawn)
    error = F.smooth_l1_loss(said.float(), torch.where(known, drawn, said.detach().float()), reduction="none")
    return (error * known).mean()
