"""Residual-in-residual dense blocks, the large network for whole photos: Wang et al., *ESRGAN*, ECCVW 2018,
§3.1, and *Real-ESRGAN*, ICCVW 2021, §3.2 (unshuffled input). Modules are named as in published weights."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ENLARGES = 4
"""What the network enlarges its own input by; unshuffled input makes x2 and x1 of it."""

_DAMPING = 0.2  # of every residual branch ("residual scaling")


@dataclass(frozen=True)
class RRDBConfig:
    """Upscaling factor (1, 2 or 4), features between the blocks, number of blocks, features a layer adds."""

    scale: int
    features: int = 64
    blocks: int = 23
    growth: int = 32

    def __post_init__(self) -> None:
        if self.scale not in (1, 2, 4):
            raise ValueError(f"scale must be 1, 2 or 4, got {self.scale}")

    @property
    def unshuffle(self) -> int:
        """Pixel-unshuffle factor in front: the sides of a picture must be multiples of it."""
        return ENLARGES // self.scale


class DenseBlock(nn.Module):
    """Five 3x3 convolutions, each of which sees the outputs of all before it."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3, self.conv4 = (
            nn.Conv2d(features + before * growth, growth, 3, 1, 1) for before in range(4)
        )
        self.conv5 = nn.Conv2d(features + 4 * growth, features, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        seen = x
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            seen = torch.cat((seen, F.leaky_relu(conv(seen), 0.2)), dim=1)
        return x + _DAMPING * self.conv5(seen)


class RRDB(nn.Module):
    """Three dense blocks inside one more residual."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.rdb1, self.rdb2, self.rdb3 = (DenseBlock(features, growth) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        return x + _DAMPING * self.rdb3(self.rdb2(self.rdb1(x)))


class RRDBNet(nn.Module):
    """(N, 3, H, W) in [0, 1] -> (N, 3, H r, W r) for scale r; H and W are multiples of `config.unshuffle`."""

    def __init__(self, config: RRDBConfig) -> None:
        super().__init__()
        self.config = config
        width = config.features
        self.conv_first = nn.Conv2d(3 * config.unshuffle**2, width, 3, 1, 1)
        self.body = nn.Sequential(*(RRDB(width, config.growth) for _ in range(config.blocks)))
        self.conv_body, self.conv_up1, self.conv_up2, self.conv_hr = (
            nn.Conv2d(width, width, 3, 1, 1) for _ in range(4)
        )
        self.conv_last = nn.Conv2d(width, 3, 3, 1, 1)
        for module in self.body.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
                module.weight.data *= 0.1  # ESRGAN, §3.1: residual branches start small
                nn.init.zeros_(module.get_parameter("bias"))

    def forward(self, x: Tensor) -> Tensor:
        features = self.conv_first(F.pixel_unshuffle(x, self.config.unshuffle))
        features = features + self.conv_body(self.body(features))
        for conv in (self.conv_up1, self.conv_up2):
            features = F.leaky_relu(conv(F.interpolate(features, scale_factor=2, mode="nearest")), 0.2)
        return self.conv_last(F.leaky_relu(self.conv_hr(features), 0.2))
