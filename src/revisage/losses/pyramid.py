"""The pyramid restoration loss."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from revisage.losses.l1 import l1


def pyramid(pictures: Sequence[Tensor], real: Tensor) -> Tensor:
    """L = sum_s mean |picture_s - real_s|, where real_s is the ground truth at the size of picture_s.

    Holds the RGB output of every U-Net decoder scale to the ground-truth pyramid (GFP-GAN, §3.2 and
    fig. 2). pictures: list of (N, 3, s, s); real: (N, 3, S, S); the pyramid is made by area averaging.
    """
    total = torch.zeros((), device=real.device)
    for picture in pictures:
        total = total + l1(picture, F.interpolate(real, size=picture.shape[-2:], mode="area"))
    return total
