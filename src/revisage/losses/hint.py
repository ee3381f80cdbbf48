"""Features of a smaller network against those of its teacher."""

from __future__ import annotations

from torch import Tensor


def hint(found: Tensor, wanted: Tensor) -> Tensor:
    """L = |found - wanted|² / |wanted|², features of any shape: 0 where they are equal, 1 where found is 0.

    FitNets (Romero et al., ICLR 2015, eq. 3) take the plain squared distance; as a share of the wanted
    features' own square, the layers of a network weigh the same.
    """
    found, wanted = found.float(), wanted.float()
    return (found - wanted).square().sum() / wanted.square().sum().clamp_min(1e-6)
