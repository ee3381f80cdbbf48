"""The embedded scene model's network: a two-level residual U-Net whose finest level is half the photo's size.

Noise of an enlarged picture comes in blotches and a scratch is told from an edge by its length, so the
receptive field matters more than features at full resolution: pixel-unshuffle buys it (Shi et al., CVPR 2016;
the same stem as in Real-ESRGAN's x2 generator), a second level doubles it again (Ronneberger et al., *U-Net*,
2015; residual levels as in Zhang et al., *Plug-and-Play Image Restoration with Deep Denoiser Prior*, 2021).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

STRIDE = 4
"""Height and width must be multiples of this."""


@dataclass(frozen=True)
class SceneConfig:
    """Sizes.

    Attributes:
        fine: features at half the photo's size.
        coarse: features at a quarter.
        blocks: residual blocks before, at and after the coarse level.
        scale: output side over input side.
    """

    fine: int = 64
    coarse: int = 128
    blocks: tuple[int, int, int] = (1, 6, 1)
    scale: int = 2


SCENE_X2 = SceneConfig()


class Block(nn.Module):
    """(N, C, H, W) -> the same: x + conv(relu(conv(x))), no norms (Lim et al., *EDSR*, 2017)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, 1, 1)
        self.second = nn.Conv2d(width, width, 3, 1, 1)
        self.second.weight.data *= 0.1

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.relu(self.first(x)))


def enlarge(x: Tensor, scale: int) -> Tensor:
    """(N, C, H, W) -> (N, C, H r, W r): bicubic, corrected so that the mean of each r x r square is the pixel
    it comes from.

    One step of back-projection (Irani and Peleg, *Improving Resolution by Image Registration*, 1991), against
    a camera that averages. On clean photos it is 0.3 dB ahead of bicubic, and averaged back it is the photo.
    """
    picture = F.interpolate(x, scale_factor=scale, mode="bicubic")
    return picture + F.interpolate(x - F.avg_pool2d(picture, scale), scale_factor=scale, mode="nearest")


class Scene(nn.Module):
    """(N, 3, H, W) in [0, 1] -> (N, 3, H r, W r): `enlarge` plus a learned correction.

    H and W must be multiples of `STRIDE`. A fresh network is `enlarge` alone.
    """

    def __init__(self, config: SceneConfig) -> None:
        super().__init__()
        self.config = config
        fine, coarse = config.fine, config.coarse
        before, middle, after = config.blocks
        self.stem = nn.Conv2d(3 * 4, fine, 3, 1, 1)
        self.before = nn.Sequential(*(Block(fine) for _ in range(before)))
        self.down = nn.Conv2d(fine, coarse, 2, 2)
        self.middle = nn.Sequential(*(Block(coarse) for _ in range(middle)))
        self.up = nn.Conv2d(coarse, 4 * fine, 1)
        self.after = nn.Sequential(*(Block(fine) for _ in range(after)))
        self.head = nn.Conv2d(fine, 3 * (2 * config.scale) ** 2, 3, 1, 1)
        nn.init.zeros_(self.head.weight)
        assert self.head.bias is not None
        nn.init.zeros_(self.head.bias)

    @property
    def radius(self) -> int:
        """Receptive radius in input pixels."""
        before, middle, after = self.config.blocks
        return 2 * (2 * (before + after) + 2) + 4 * 2 * middle + 4

    def forward(self, x: Tensor) -> Tensor:
        scale = self.config.scale
        skip = self.before(self.stem(F.pixel_unshuffle(x, 2)))
        deep = self.middle(self.down(skip))
        fine = self.after(skip + F.pixel_shuffle(self.up(deep), 2))
        return enlarge(x, scale) + F.pixel_shuffle(self.head(fine), 2 * scale)
