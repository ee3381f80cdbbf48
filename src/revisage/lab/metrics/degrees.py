"""Identity angle ("Deg" in GFP-GAN's tables)."""

import torch
import torch.nn.functional as F
from torch import Tensor


def degrees(fake: Tensor, real: Tensor) -> Tensor:
    """Angle in degrees between two face embeddings, each (N, D) -> (N,), in [0, 180]."""
    # In float32 the arc cosine of nearly 1 is off by some hundredths of a degree.
    cosine = F.cosine_similarity(fake.double(), real.double(), dim=1).clamp(-1, 1)
    return torch.rad2deg(torch.arccos(cosine)).float()
