"""Distances of face embeddings, and of a small network's features to its teacher's."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def identity(fake: Tensor, real: Tensor) -> Tensor:
    """L = mean (1 - cos θ) between the face embeddings of the restored and the true face, each (N, D).

    GFP-GAN (§3.5, eq. 8) takes the L1 distance of ArcFace features; ArcFace itself compares by angle,
    so the cosine is used: it does not depend on the length of the embedding.
    """
    return (1 - F.cosine_similarity(fake.float(), real.float(), dim=1)).mean()


def chord(fake: Tensor, real: Tensor) -> Tensor:
    """L = mean 2 sin(θ/2): the distance of the embeddings, each (N, D), brought to length 1.

    Falls with the angle itself, to the first power as the distance in GFP-GAN's eq. 8. The cosine of
    `identity` hardly feels a small angle, so that a face that is nearly right is left as it is.
    """
    return (F.normalize(fake.float(), dim=1) - F.normalize(real.float(), dim=1)).norm(dim=1).mean()


def hint(found: Tensor, wanted: Tensor) -> Tensor:
    """L = |found - wanted|² / |wanted|², features of any shape: 0 where they are equal, 1 where found is 0.

    FitNets (Romero et al., ICLR 2015, eq. 3) take the plain squared distance; as a share of the wanted
    features' own square, the layers of a network weigh the same.
    """
    found, wanted = found.float(), wanted.float()
    return (found - wanted).square().sum() / wanted.square().sum().clamp_min(1e-6)


def face_features(fake: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
    """L = mean 1/K sum_k sum |φ_k(fake) - φ_k(real)| / sum |φ_k(real)|, of feature maps of a face embedding.

    Early layers tell eyes and mouths apart where they are, which the embedding at the end only tells who: a
    perceptual loss (`losses.perceptual`) with a network that knows faces. Maps (N, C_k, H_k, W_k).
    """
    shares = [
        (a.float() - b.float()).abs().flatten(1).sum(1) / b.float().abs().flatten(1).sum(1).clamp(min=1e-6)
        for a, b in zip(fake, real, strict=True)
    ]
    return torch.stack(shares).mean()
