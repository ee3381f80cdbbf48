"""Real-ESRGAN's critic: a U-Net that judges every pixel, with spectral normalisation.

Sources: Wang et al., *Real-ESRGAN*, ICCVW 2021, §3.3; Schönfeld et al., *A U-Net Based Discriminator for
Generative Adversarial Networks*, CVPR 2020; Miyato et al., *Spectral Normalization*, ICLR 2018.
"""

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

LEVELS = 3
"""Halvings: height and width must be multiples of 2 ** LEVELS."""


class UNetDiscriminator(nn.Module):
    """(N, 3, H, W) in [0, 1] -> logits (N, 1, H, W), one a pixel.

    `width` features at full size (64 as published), doubled at every halving. All convolutions but the first
    and the last have spectral norm 1, which keeps the critic's slope, and with it the generator's gradient,
    in bounds.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        sizes = [width * 2**level for level in range(LEVELS + 1)]
        self.first = nn.Conv2d(3, width, 3, 1, 1)
        self.down = nn.ModuleList(_normalised(a, b, kernel=4, stride=2) for a, b in pairwise(sizes))
        self.up = nn.ModuleList(_normalised(2 * a, a) for a in reversed(sizes[:-1]))
        self.last = nn.Sequential(
            _normalised(width, width),
            nn.LeakyReLU(0.2),
            _normalised(width, width),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 1, 3, 1, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(self.first(x), 0.2)
        skips = []
        for layer in self.down:
            skips.append(x)
            x = F.leaky_relu(layer(x), 0.2)
        for layer, skip in zip(self.up, reversed(skips), strict=True):
            x = F.interpolate(x, scale_factor=2, mode="bilinear")
            x = F.leaky_relu(layer(x), 0.2) + skip
        return self.last(x)


def _normalised(features: int, wanted: int, *, kernel: int = 3, stride: int = 1) -> nn.Module:
    return spectral_norm(nn.Conv2d(features, wanted, kernel, stride, 1, bias=False))
