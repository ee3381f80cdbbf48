"""The scene model's network: cleans a photo at its own size, or doubles it, as strongly as it is asked to.

One trunk, two heads. The trunk is a residual U-Net of three levels whose finest is half the photo's size:
noise of an enlarged picture comes in blotches, so the receptive field matters more than features at full
resolution, and pixel-unshuffle buys it (Shi et al., CVPR 2016). Doubling has residual blocks of its own, so
that cleaning a large photo does not pay for what only enlarging needs.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STRIDE = 8
"""Height and width must be multiples of this."""


@dataclass(frozen=True)
class SceneConfig:
    """Sizes."""

    fine: int = 64
    """Features at half the photo's size."""
    coarse: int = 96
    """Features at a quarter."""
    blocks: tuple[int, int, int] = (1, 2, 1)
    """Residual blocks of the trunk before, at and after the coarse level."""
    deep: tuple[int, int] = (0, 0)
    """Features and residual blocks at an eighth; a file without them can start a training with them."""
    tail: int = 6
    """Residual blocks of `fine` features that only doubling has."""


SCENE = SceneConfig(deep=(128, 2))
"""0.15 MFLOP per input pixel at x1, 0.38 at x2."""


class Block(nn.Module):
    """(N, C, H, W) -> the same: x + conv(relu(conv(x))), no norms (Lim et al., *EDSR*, 2017)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(width, width, 3, 1, 1) for _ in range(2))
        self.second.weight.data *= 0.1

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.relu(self.first(x)))


def enlarge(x: Tensor, scale: int) -> Tensor:
    """(N, C, H, W) -> (N, C, H r, W r): bicubic, corrected so that the mean of each r x r square is the pixel
    it comes from: one step of back-projection (Irani and Peleg, *Improving Resolution by Image Registration*,
    1991) against a camera that averages. On clean photos it is 0.3 dB ahead of bicubic."""
    picture = F.interpolate(x, scale_factor=scale, mode="bicubic")
    return picture + F.interpolate(x - F.avg_pool2d(picture, scale), scale_factor=scale, mode="nearest")


class Scene(nn.Module):
    """(N, 4, H, W): RGB in [0, 1] and a plane of the strength, 0 (keep the grain) to 1 (clean) -> two
    pictures, (N, 3, H, W) and (N, 3, 2 H, 2 W). H and W are multiples of `STRIDE`. A fresh network gives the
    photo and its `enlarge`."""

    def __init__(self, config: SceneConfig) -> None:
        super().__init__()
        self.config = config
        fine, coarse = config.fine, config.coarse
        before, middle, after = config.blocks
        self.stem = nn.Conv2d(4 * 4, fine, 3, 1, 1)
        self.before = nn.Sequential(*(Block(fine) for _ in range(before)))
        self.down = nn.Conv2d(fine, coarse, 2, 2)
        width, count = config.deep
        if count:
            last = _zeroed(nn.Conv2d(width, 4 * coarse, 1))
            between = (Block(width) for _ in range(count))
            self.deep = nn.Sequential(nn.Conv2d(coarse, width, 2, 2), *between, last, nn.PixelShuffle(2))
        self.middle = nn.Sequential(*(Block(coarse) for _ in range(middle)))
        self.up = nn.Conv2d(coarse, 4 * fine, 1)
        self.after = nn.Sequential(*(Block(fine) for _ in range(after)))
        self.tail = nn.Sequential(*(Block(fine) for _ in range(config.tail)))
        self.head_x1 = _zeroed(nn.Conv2d(fine, 3 * 2**2, 3, 1, 1))
        self.head_x2 = _zeroed(nn.Conv2d(fine, 3 * 4**2, 3, 1, 1))

    def trunk(self, x: Tensor) -> Tensor:
        """(N, 4, H, W) -> features (N, fine, H / 2, W / 2)."""
        skip = self.before(self.stem(F.pixel_unshuffle(x, 2)))
        coarse = self.down(skip)
        coarse = self.middle(coarse + self.deep(coarse) if self.config.deep[1] else coarse)
        return self.after(skip + F.pixel_shuffle(self.up(coarse), 2))

    def same_size(self, x: Tensor, features: Tensor) -> Tensor:
        """The cleaned photo, (N, 3, H, W)."""
        return x[:, :3] + F.pixel_shuffle(self.head_x1(features), 2)

    def doubled(self, x: Tensor, features: Tensor) -> Tensor:
        """The cleaned photo at twice its size, (N, 3, 2 H, 2 W)."""
        return enlarge(x[:, :3], 2) + F.pixel_shuffle(self.head_x2(self.tail(features)), 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.trunk(x)
        return self.same_size(x, features), self.doubled(x, features)


class OneScale(nn.Module):
    """A `Scene` that gives one of its pictures, for an exported file: `scale` is 1 or 2."""

    def __init__(self, network: Scene, scale: int) -> None:
        super().__init__()
        self.network, self.scale = network, scale

    def forward(self, x: Tensor) -> Tensor:
        features = self.network.trunk(x)
        if self.scale == 1:
            return self.network.same_size(x, features)
        return self.network.doubled(x, features)


def with_strength(x: Tensor, strength: Tensor) -> Tensor:
    """(N, 3, H, W) and (N,) -> (N, 4, H, W), as `Scene` takes it."""
    plane = strength.to(x.dtype).view(-1, 1, 1, 1).expand(-1, 1, *x.shape[2:])
    return torch.cat((x, plane), dim=1)


def _zeroed(layer: nn.Conv2d) -> nn.Conv2d:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
