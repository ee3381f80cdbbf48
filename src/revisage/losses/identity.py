"""Identity-preserving loss."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def identity(fake: Tensor, real: Tensor) -> Tensor:
    """L = mean (1 - cos θ) between the face embeddings of the restored and the true face, each (N, D).

    GFP-GAN (§3.5, eq. 8) takes the L1 distance of ArcFace features; ArcFace itself compares by angle,
    so the cosine is used: it does not depend on the length of the embedding.
    """
    return (1 - F.cosine_similarity(fake.float(), real.float(), dim=1)).mean()
