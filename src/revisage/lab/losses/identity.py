"""Distances of face embeddings, and of a small network's features to its teacher's."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def identity(fake: Tensor, real: Tensor) -> Tensor:
    """L = mean (1 - cos θ) between the face embeddings of the restored and the true face, each (N, D).
    GFP-GAN (§3.5, eq. 8) takes the L1 distance of ArcFace features, but ArcFace itself compares by angle."""
    return (1 - F.cosine_similarity(fake.float(), real.float(), dim=1)).mean()


def chord(fake: Tensor, real: Tensor) -> Tensor:
    """L = mean 2 sin(θ/2): the distance of the embeddings, each (N, D), brought to length 1. To the first
    power, as in GFP-GAN's eq. 8: the cosine of `identity` hardly feels a small angle."""
    return (F.normalize(fake.float(), dim=1) - F.normalize(real.float(), dim=1)).norm(dim=1).mean()


def hint(found: Tensor, wanted: Tensor) -> Tensor:
    """L = |found - wanted|² / |wanted|², features of any shape, so that all layers weigh the same: 0 where
    they are equal, 1 where found is 0. After FitNets (Romero et al., ICLR 2015, eq. 3), which have the plain
    square."""
    found, wanted = found.float(), wanted.float()
    return (found - wanted).square().sum() / wanted.square().sum().clamp_min(1e-6)


def face_features(fake: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
    """L = mean 1/K sum_k sum |φ_k(fake) - φ_k(real)| / sum |φ_k(real)|, of feature maps (N, C_k, H_k, W_k) of
    a face embedding, whose early layers tell eyes and mouths apart where they are."""
    shares = [
        (a.float() - b.float()).abs().flatten(1).sum(1) / b.float().abs().flatten(1).sum(1).clamp(min=1e-6)
        for a, b in zip(fake, real, strict=True)
    ]
    return torch.stack(shares).mean()
