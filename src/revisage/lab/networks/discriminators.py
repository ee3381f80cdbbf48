"""Critics of pictures: StyleGAN2's for whole faces, small ones for parts of a face, Real-ESRGAN's for photos.

Sources: Karras et al., *Analyzing and Improving the Image Quality of StyleGAN*, CVPR 2020, §4.1 and fig. 7;
*Progressive Growing of GANs*, ICLR 2018, §3 (minibatch deviation) and §4.1 (equalised learning rate); Wang et
al., GFP-GAN, CVPR 2021, §3.5 (components); Wang et al., *Real-ESRGAN*, ICCVW 2021, §3.3 (U-Net); Schönfeld et
al., *A U-Net Based Discriminator for Generative Adversarial Networks*, CVPR 2020; Miyato et al., *Spectral
Normalization*, ICLR 2018.
"""

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from revisage.lab.filters import BINOMIAL, FrequencyBands, smoothed
from revisage.lab.networks.gfpgan import scales


@dataclass(frozen=True)
class DiscriminatorConfig:
    """Sizes of the discriminator of whole faces."""

    size: int
    """Side of the picture in pixels, as it is judged."""
    channels: tuple[int, ...]
    """Features at size/stem, half of it, ... down to 4 pixels."""
    stem: int = 1
    """Side of the blocks whose frequency bands (`FrequencyBands`) go in, instead of pixels: the thin layers
    at full resolution, which a CPU runs badly, become part of one wider layer. 1: pixels, as published."""
    group: int = 4
    """Pictures that the minibatch standard deviation is taken over."""
    reduce: int = 1
    """Pictures come so many times as wide, are smoothed by a binomial filter and averaged down."""
    power: float = 1.0
    """Of the bands' division by their usual size (`FrequencyBands`)."""
    conditional: bool = False
    """Whether the degraded picture is seen beside the one that is judged."""

    def __post_init__(self) -> None:
        levels = scales(self.size, self.stem)
        if len(self.channels) != levels:
            raise ValueError(f"channels needs {levels} entries for {self.size} px, got {len(self.channels)}")
        if self.reduce < 1:
            raise ValueError(f"reduce must be at least 1, got {self.reduce}")

    @property
    def picture(self) -> int:
        """Side of the pictures that come in."""
        return self.size * self.reduce


def stylegan2_discriminator(size: int, multiplier: int = 1) -> DiscriminatorConfig:
    """The published sizes: 512 features up to 32 px, then 256 m, 128 m, 64 m, 32 m."""
    sides = [size >> level for level in range(scales(size, 1))]
    return DiscriminatorConfig(size, tuple(min(512, 16384 * multiplier // side) for side in sides))


# Of faces of 256 px, half as large and without the finest octave, beside the input they were made from.
CLEAR_CRITIC = DiscriminatorConfig(
    128, (48, 96, 128, 160, 192), stem=2, reduce=2, power=0.5, conditional=True
)
DISCRIMINATOR_128 = replace(CLEAR_CRITIC, reduce=1, conditional=False)


class EqualConv2d(nn.Module):
    """Convolution with the equalised learning rate: unit weights, scaled by 1 / sqrt(fan-in) in use."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, *, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.gain = 1 / math.sqrt(in_channels * kernel**2)
        self.padding = kernel // 2

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.gain, self.bias, padding=self.padding)


class EqualLinear(nn.Module):
    """Likewise linear; `rate` scales the learning rate: 0.01 for the mapping network (StyleGAN, §C)."""

    def __init__(self, in_features: int, out_features: int, *, rate: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / rate)
        self.bias = nn.Parameter(torch.zeros(out_features))
        self.gain, self.rate = rate / math.sqrt(in_features), rate

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.gain, self.bias * self.rate)


def activate(x: Tensor) -> Tensor:
    """Leaky ReLU that keeps the variance."""
    return F.leaky_relu(x, 0.2) * math.sqrt(2)


class DownBlock(nn.Module):
    """Two 3x3 convolutions and a halving, with a 1x1 convolution beside them (fig. 7c)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = EqualConv2d(in_channels, in_channels, 3)
        self.conv2 = EqualConv2d(in_channels, out_channels, 3)
        self.skip = EqualConv2d(in_channels, out_channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = activate(self.conv2(F.avg_pool2d(activate(self.conv1(x)), 2)))
        return (y + self.skip(F.avg_pool2d(x, 2))) * math.sqrt(0.5)


def minibatch_deviation(x: Tensor, group: int) -> Tensor:
    """(N, C, H, W) -> (N, C + 1, H, W): appends the mean standard deviation of the features over groups, of
    the largest size up to `group` that divides N."""
    n, _, h, w = x.shape
    size = next(g for g in range(min(group, n), 0, -1) if n % g == 0)
    # Deviations of bf16 numbers lose too many digits, and the square root has no gradient at zero.
    y = x.float().reshape(size, n // size, *x.shape[1:])
    deviation = torch.sqrt(y.var(0, unbiased=False) + 1e-8).mean((1, 2, 3))
    return torch.cat((x, deviation.to(x.dtype).repeat(size).view(n, 1, 1, 1).expand(n, 1, h, w)), dim=1)


class Discriminator(nn.Module):
    """StyleGAN2's residual discriminator: pictures (N, 3, size, size) in [-1, 1] (times `reduce`), and the
    degraded ones where it is conditional -> logits (N,). It is `judge` of what is to `see` of each, which R1
    is over."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        first, last = config.channels[0], config.channels[-1]
        stem = config.stem
        self.bands = FrequencyBands(stem, stem, config.power) if stem > 1 else nn.Identity()
        seen = 3 * stem**2 * (2 if config.conditional else 1)
        self.first = EqualConv2d(seen, first, 1 if stem == 1 else 3)
        self.blocks = nn.ModuleList(DownBlock(a, b) for a, b in pairwise(config.channels))
        self.conv = EqualConv2d(last + 1, last, 3)
        self.linear = EqualLinear(last * 16, last)
        self.logit = EqualLinear(last, 1)

    def see(self, picture: Tensor) -> Tensor:
        """(N, 3, H, W) in [-1, 1] -> (N, C, h, w), what of it is judged."""
        if self.config.reduce > 1:
            picture = smoothed(picture, BINOMIAL, self.config.reduce)
        return self.bands(picture)

    def judge(self, seen: Tensor, given: Tensor | None = None) -> Tensor:
        """Logits (N,) of pictures and, where the network is conditional, of inputs as it sees them."""
        assert (given is not None) == self.config.conditional, "conditional networks alone take an input"
        x = activate(self.first(seen if given is None else torch.cat((seen, given), dim=1)))
        for block in self.blocks:
            x = block(x)
        x = activate(self.conv(minibatch_deviation(x, self.config.group)))
        return self.logit(activate(self.linear(x.flatten(1))))[:, 0]

    def forward(self, picture: Tensor, low: Tensor | None = None) -> Tensor:
        given = self.see(low) if low is not None and self.config.conditional else None
        return self.judge(self.see(picture), given)


class ComponentDiscriminator(nn.Module):
    """A small critic of one part of the face, whose features also serve the style loss: (N, 3, H, W) in [-1,
    1] -> (logits (N, 1, H/4, W/4), features at H, H/2 and H/4)."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.bands = FrequencyBands(2, 1)
        widths = (12, width, 2 * width, 4 * width, 4 * width)
        self.layers = nn.ModuleList(EqualConv2d(a, b, 3) for a, b in pairwise(widths))
        self.halves = (False, True, False, True)  # halved in front of these
        self.logit = EqualConv2d(4 * width, 1, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        features, x = [], self.bands(x)
        for layer, halved in zip(self.layers, self.halves, strict=True):
            x = activate(layer(F.avg_pool2d(x, 2) if halved else x))
            features.append(x)
        return self.logit(x), [features[0], features[2], features[3]]


LEVELS = 3
"""Halvings of the U-Net: height and width must be multiples of 2 ** LEVELS."""


class UNetDiscriminator(nn.Module):
    """A U-Net that judges every pixel: (N, 3, H, W) in [0, 1] -> logits (N, 1, H, W). `width` features at
    full size (64 as published), doubled at every halving; spectral norm 1 but of the first and last."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        sizes = [width * 2**level for level in range(LEVELS + 1)]
        self.first = nn.Conv2d(3, width, 3, 1, 1)
        self.down = nn.ModuleList(_normalised(a, b, kernel=4, stride=2) for a, b in pairwise(sizes))
        self.up = nn.ModuleList(_normalised(2 * a, a) for a in reversed(sizes[:-1]))
        twice = (layer for _ in range(2) for layer in (_normalised(width, width), nn.LeakyReLU(0.2)))
        self.last = nn.Sequential(*twice, nn.Conv2d(width, 1, 3, 1, 1))

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
