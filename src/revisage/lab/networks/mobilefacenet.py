"""MobileFaceNet, a small face embedding (Chen et al., *MobileFaceNets*, CCBR 2018, table 1), and the identity
model made of it. Layers are named as in the published PyTorch checkpoints."""

from dataclasses import dataclass
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

from revisage.lab.networks.arcface import ArcFaceCrop


@dataclass(frozen=True)
class MobileFaceNetConfig:
    """Sizes of an embedding; the defaults are the paper's."""

    stem: int = 64
    """Features of the first two layers."""
    stages: tuple[tuple[int, int, int, int], ...] = (
        (2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1),
    )  # fmt: skip
    """Expansion, features, repeats and stride of the first, for each row of the paper's table."""
    last: int = 512
    """Features that the global depthwise convolution sees."""
    dimensions: int = 128
    """Of the embedding."""


PUBLISHED = MobileFaceNetConfig()
COMPACT_IDENTITY = MobileFaceNetConfig(
    stem=48, stages=((2, 64, 4, 2), (4, 128, 1, 2), (2, 128, 5, 1), (4, 128, 1, 2), (2, 128, 2, 1))
)
SIZE = 256
"""Side of the faces that `Identity` is made for."""


class _ConvUnit(nn.Module):
    def __init__(self, conv: nn.Conv2d, *, linear: bool = False) -> None:
        super().__init__()
        self.conv, self.bn = conv, nn.BatchNorm2d(conv.out_channels)
        self.prelu = nn.Identity() if linear else nn.PReLU(conv.out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.prelu(self.bn(self.conv(x)))


class _Bottleneck(nn.Module):
    def __init__(self, cin: int, cout: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = cin * expansion
        self.connect = stride == 1 and cin == cout
        unit = partial(Conv2dNormActivation, activation_layer=partial(nn.PReLU, inner), inplace=None)
        self.conv = nn.Sequential(
            *unit(cin, inner, 1),
            *unit(inner, inner, 3, stride, groups=inner),
            *unit(inner, cout, 1, activation_layer=None),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return x + y if self.connect else y


class MobileFaceNet(nn.Module):
    """(N, 3, 112, 96) RGB in [-1, 1] on the ArcFace template -> (N, dimensions) embedding, not normalised."""

    def __init__(self, config: MobileFaceNetConfig = PUBLISHED) -> None:
        super().__init__()
        self.repeats = [repeats for _, _, repeats, _ in config.stages]
        stem, last = config.stem, config.last
        self.conv1 = _ConvUnit(nn.Conv2d(3, stem, 3, 2, 1, bias=False))
        self.dw_conv1 = _ConvUnit(nn.Conv2d(stem, stem, 3, 1, 1, groups=stem, bias=False))
        blocks, cin = [], stem
        for expansion, cout, repeats, stride in config.stages:
            for i in range(repeats):
                blocks.append(_Bottleneck(cin, cout, stride if i == 0 else 1, expansion))
                cin = cout
        self.blocks = nn.Sequential(*blocks)
        self.conv2 = _ConvUnit(nn.Conv2d(cin, last, 1, bias=False))
        self.linear7 = _ConvUnit(nn.Conv2d(last, last, (7, 6), groups=last, bias=False), linear=True)
        self.linear1 = _ConvUnit(nn.Conv2d(last, config.dimensions, 1, bias=False), linear=True)

    def parts(self) -> list[nn.Module]:
        """The network, to be run one after the other: a part for each row of the table (the first with the
        stem before it), then the head, (N, C, 7, 6) -> (N, dimensions)."""
        blocks = list(self.blocks)
        rows = [[blocks.pop(0) for _ in range(repeats)] for repeats in self.repeats]
        rows[0] = [self.conv1, self.dw_conv1, *rows[0]]
        head = [self.conv2, self.linear7, self.linear1, nn.Flatten()]
        return [nn.Sequential(*part) for part in (*rows, head)]

    def forward(self, x: Tensor) -> Tensor:
        y = self.blocks(self.dw_conv1(self.conv1(x)))
        return self.linear1(self.linear7(self.conv2(y))).flatten(1)


class Identity(nn.Module):
    """Faces on the FFHQ template, (N, 3, S, S) RGB in [0, 1] -> (N, D) of length 1, compared by angle."""

    def __init__(self, config: MobileFaceNetConfig = COMPACT_IDENTITY) -> None:
        super().__init__()
        self.config = config
        self.crop = ArcFaceCrop()
        self.network = MobileFaceNet(config)

    def forward(self, faces: Tensor) -> Tensor:
        return F.normalize(self.network(self.crop(faces * 2 - 1)))
