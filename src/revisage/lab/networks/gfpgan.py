"""GFP-GAN's generator: a degradation-removing U-Net that steers a StyleGAN2 decoder.

Source: Wang et al., *Towards Real-World Blind Face Restoration with Generative Facial Prior*, CVPR 2021,
§3.1-3.4. One class for every size: the published 512 px layout and the compact 256 px one are presets.
"""

import math
import re
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from revisage.lab.filters import sharpened, smooth_colour
from revisage.lab.networks.stylegan2 import StyleDecoder

DESCRIBED = 6
"""Numbers that describe a degradation."""


def scales(size: int, stem: int) -> int:
    """How many scales there are from 4 to size / stem pixels, a power of two from 8 on, else ValueError."""
    side, rest = divmod(size, stem) if stem > 0 else (0, 0)
    if rest or side < 8 or side.bit_count() != 1:
        raise ValueError(f"size / stem must be a power of two of at least 8, got {size}/{stem}")
    return side.bit_length() - 2


@dataclass(frozen=True)
class GFPGANConfig:
    """Sizes of a generator."""

    size: int
    """Side of the picture in pixels."""
    unet: tuple[int, ...]
    """U-Net features at 4, 8, ... size/stem pixels."""
    prior: tuple[int, ...]
    """Decoder features at the same resolutions; where there are fewer, the decoder ends there, and its
    features join the U-Net's (`residual` networks only)."""
    style_dim: int = 512
    """Length of one latent code."""
    latent_channels: int | None = None
    """What the bottleneck is reduced to before the codes' linear layer (None: not reduced, as published)."""
    stem: int = 1
    """Pixel-unshuffle factor in front, undone behind the U-Net and the decoder: moves work from thin layers
    at full resolution, which a CPU runs badly, to wider ones."""
    condition_layers: int = 2
    """Convolutions from a U-Net map to (alpha, beta): 2 for each (as published) or 1 shared by both."""
    head_kernel: int = 1
    """Kernel of the U-Net's RGB outputs."""
    residual: bool = False
    """The picture starts from the input and from the U-Net's own RGB output, so that the prior adds instead
    of rebuilding, and the stem's features join the last U-Net scale."""
    refine: int = 0
    """Residual blocks behind the U-Net's finest scale, where noise and JPEG blocks are told from skin and
    hair. An exported file without them can start a training with them."""
    polish: int = 0
    """Features of a residual block over the restored picture: it sees across the stem's blocks, whose edges
    else come out serrated. An exported file without it can start a training with it."""
    smooth_colour: bool = False
    """Whether the picture's differences from its own gray are smoothed: a network with a stem else leaves
    dots of colour in dark eyes."""
    sharpen: bool = False
    """Whether what it is used for is `sharpened`; losses see the picture before."""
    deep: tuple[int, ...] = ()
    """Residual blocks behind each U-Net scale on the way up, from 4 pixels on; () for none."""
    attention: int = 0
    """Side of the U-Net scale where every place sees all others; 0 for none."""
    code: int = 0
    """Length of a code of the degradation, which is one for the whole picture: it is made from the U-Net's
    mean features at 8 pixels and scales and shifts those of every scale after. 0 for none."""
    noise: bool = True
    """Noise buffers in the decoder."""
    decoder: bool = True
    """Without it the U-Net's own RGB output is the restored picture: the ablation "no prior"."""

    def __post_init__(self) -> None:
        levels = scales(self.size, self.stem)
        shorter = {"unet": (), "prior": range(2, levels) if self.residual else (), "deep": (0,)}
        for name, counts in shorter.items():
            count = len(getattr(self, name))
            if count != levels and count not in counts:
                raise ValueError(f"{name} needs {levels} entries for {self.size} px, got {count}")
        if self.attention and self.attention not in [4 * 2**level for level in range(1, levels)]:
            raise ValueError(f"attention must be a U-Net scale's side, from 8 px on, got {self.attention}")
        if any(channels % 2 for channels in self.prior[1:]):
            raise ValueError(f"prior must be even numbers, CS-SFT halves them, got {self.prior}")
        if self.condition_layers not in (1, 2):
            raise ValueError(f"condition_layers must be 1 or 2, got {self.condition_layers}")


COMPACT_256 = GFPGANConfig(
    size=256, unet=(160, 192, 192, 128, 96), prior=(160, 192, 192, 128, 96), style_dim=128,
    latent_channels=64, stem=4, condition_layers=1, head_kernel=3, residual=True, refine=2, polish=16,
    noise=False,
)  # fmt: skip
"""The layout of versions 1 to 3."""

CLEAR_256 = replace(
    COMPACT_256, prior=COMPACT_256.prior[:-1], deep=(0, 0, 1, 3, 0), attention=16, code=128,
    smooth_colour=True, sharpen=True,
)  # fmt: skip
"""The layout from version 4 on: work moved from the finest scale to the ones that see more of the face."""


def published_512(multiplier: int) -> GFPGANConfig:
    """The layout for 512 px; `multiplier` widens it from 64 px on: 1 in the paper, 2 in 1.2, 1.3 and 1.4."""
    prior = (512, 512, 512, 512, *(width * multiplier for width in (256, 128, 64, 32)))
    return GFPGANConfig(size=512, unet=tuple(width // 2 for width in prior), prior=prior)


def _activate(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.2)


def _two(before: int, between: int, after: int) -> nn.Sequential:
    """Two 3x3 convolutions, from so many channels to so many."""
    first, second = nn.Conv2d(before, between, 3, 1, 1), nn.Conv2d(between, after, 3, 1, 1)
    return nn.Sequential(first, nn.LeakyReLU(0.2), second)


class ResBlock(nn.Module):
    """Two 3x3 convolutions with a resampling by 2 between them, and a 1x1 convolution beside them."""

    def __init__(self, in_channels: int, out_channels: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.conv1 = nn.Conv2d(in_channels, in_channels, 3, 1, 1)
        self.conv2 = nn.Conv2d(in_channels, out_channels, 3, 1, 1)
        self.skip = nn.Conv2d(in_channels, out_channels, 1, bias=False)

    def _resample(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=self.scale, mode="bilinear")

    def forward(self, x: Tensor) -> Tensor:
        y = self._resample(_activate(self.conv1(x)))
        y = _activate(self.conv2(y))
        return y + self._resample(self.skip(x))


class RefineBlock(nn.Module):
    """Two 3x3 convolutions beside the identity, which it is close to at first. Keeps (N, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv2d(channels, channels, 3, 1, 1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(_activate(self.conv1(x)))


class Restored(NamedTuple):
    """What a generator makes of a batch, pictures in [-1, 1]."""

    picture: Tensor
    """(N, 3, size, size)."""
    pyramid: list[Tensor]
    """The U-Net's own pictures, (N, 3, s, s), from the smallest s to the largest."""
    described: Tensor | None
    """(N, 6): what the code says of the degradation (`revisage.lab.degrade.description`), if there is one."""


class Condition(nn.Module):
    """(alpha, beta) of CS-SFT from one U-Net map: (N, C, H, W) -> two of (N, out, H, W)."""

    def __init__(self, channels: int, out: int, layers: int) -> None:
        super().__init__()
        if layers == 1:
            self.joint = nn.Conv2d(channels, 2 * out, 3, 1, 1)
        else:
            self.scale, self.shift = (_two(channels, channels, out) for _ in range(2))
        self.layers = layers

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if self.layers == 1:
            alpha, beta = self.joint(x).chunk(2, dim=1)
            return 1 + alpha, beta
        return self.scale(x), self.shift(x)


class SelfAttention(nn.Module):
    """Vaswani et al., *Attention Is All You Need*, NIPS 2017, §3.2, over the places of (N, C, H, W)."""

    def __init__(self, channels: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(1, channels)
        self.project = nn.Conv2d(channels, 3 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        split = self.project(self.norm(x)).reshape(n, 3, self.heads, c // self.heads, h * w)
        query, key, value = split.transpose(3, 4).unbind(1)
        seen = F.scaled_dot_product_attention(query, key, value)
        return x + self.out(seen.transpose(2, 3).reshape(n, c, h, w))


# What initial weights are multiplied by.
_GAINS = {
    r"(down|up)\.\d+\.(conv2|skip)": math.sqrt(0.5),  # or the variance of the sum doubles at every block
    r"refine\.\d+\.conv2": 0.05,
    r"polish\.2": 0.02,
    # Close to alpha = 1, beta = 0: factors beyond that multiply from scale to scale (7 times at 512 px).
    r"conditions\.\d+\.(joint|scale\.2|shift\.2)": 0.1,
    # What other layouts lack begins at zero, so that their weights compute what they did.
    r"deep\.\d+\.\d+\.conv2|attention\.out|bridge|modulate\.\d+": 0.0,
}
_RESIDUAL_GAINS = {r"heads\.\d+|decoder\.rgb\.\d+\.conv": 0.02}


class GFPGAN(nn.Module):
    """Degraded faces, (N, 3, size, size) in [-1, 1] -> `picture` and `pyramid` of `Restored`; the latter is
    for the pyramid restoration loss (§3.2)."""

    def __init__(self, config: GFPGANConfig) -> None:
        super().__init__()
        self.config = config
        unet, stem = config.unet, config.stem
        top = len(unet) - 1
        self.first = nn.Conv2d(3 * stem**2, unet[top], 1 if stem == 1 else 3, 1, 0 if stem == 1 else 1)
        self.down = nn.ModuleList(ResBlock(unet[i], unet[i - 1], 0.5) for i in range(top, 0, -1))
        self.bottleneck = nn.Conv2d(unet[0], unet[0], 3, 1, 1)
        self.up = nn.ModuleList(ResBlock(unet[i - 1], unet[i], 2) for i in range(1, top + 1))
        self.refine = nn.Sequential(*(RefineBlock(unet[top]) for _ in range(config.refine)))
        self.heads = nn.ModuleList(
            nn.Conv2d(unet[i], 3 * stem**2 if i == top else 3, config.head_kernel, 1, config.head_kernel // 2)
            for i in range(1, top + 1)
        )
        if config.polish:
            self.polish = _two(3, config.polish, 3)
        self.deep = nn.ModuleList(
            nn.Sequential(*(RefineBlock(channels) for _ in range(count)))
            for channels, count in zip(unet, config.deep, strict=False)
        )
        if config.attention:
            self.attention = SelfAttention(unet[config.attention.bit_length() - 3])
        if config.code:
            self.code = nn.Sequential(
                *(nn.Linear(unet[1], config.code), nn.LeakyReLU(0.2)),
                *(nn.Linear(config.code, config.code), nn.LeakyReLU(0.2)),
            )
            self.describe = nn.Linear(config.code, DESCRIBED)
            self.modulate = nn.ModuleList(nn.Linear(config.code, 2 * channels) for channels in unet)
        if config.decoder:
            end = len(config.prior) - 1
            self.conditions = nn.ModuleList(
                Condition(unet[i], config.prior[i] // 2, config.condition_layers) for i in range(1, end + 1)
            )
            shuffle = stem if end == top else 1
            self.decoder = StyleDecoder(config.prior, config.style_dim, shuffle=shuffle, noise=config.noise)
            squeezed = config.latent_channels or unet[0]
            self.squeeze = nn.Conv2d(unet[0], squeezed, 1) if config.latent_channels else nn.Identity()
            self.codes = nn.Linear(squeezed * 16, self.decoder.layers * config.style_dim)
            if end < top:
                self.bridge = nn.Conv2d(config.prior[end], unet[end], 1)
        self._initialise()

    def _initialise(self) -> None:
        gains = _GAINS | (_RESIDUAL_GAINS if self.config.residual else {})
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, a=0.2)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            gain = next((gain for pattern, gain in gains.items() if re.fullmatch(pattern, name)), 1.0)
            if gain == 0:
                nn.init.zeros_(module.get_parameter("weight"))
                nn.init.zeros_(module.get_parameter("bias"))
            elif gain != 1:
                module.get_parameter("weight").data.mul_(gain)
            if re.fullmatch(r"conditions\.\d+\.scale\.2", name):
                nn.init.ones_(module.get_parameter("bias"))

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        picture, pyramid, _ = self.restore(x)
        return picture, pyramid

    def restore(self, x: Tensor) -> Restored:
        """As `forward`, and what the code says of the degradation."""
        config = self.config
        first = _activate(self.first(F.pixel_unshuffle(x, config.stem) if config.stem > 1 else x))
        features, scales = first, [first]
        for block in self.down:
            features = block(features)
            scales.append(features)
        code = self.code(scales[-2].mean((2, 3))) if config.code else None
        features = self._modulated(_activate(self.bottleneck(features)), code, 0)
        bottleneck = features = self.deep[0](features) if self.deep else features

        pyramid, conditions, added = [], [], None
        end, top = len(config.prior) - 1, len(self.up)
        for i in range(1, top + 1):
            features = self._scale(i, features + scales[-i], first, code)
            pyramid.append(self._own_picture(i, features, x))
            if config.decoder and i <= end:
                conditions.append(self.conditions[i - 1](features))
            if config.decoder and i == end:
                codes = self.codes(self.squeeze(bottleneck).flatten(1))
                codes = codes.view(-1, self.decoder.layers, config.style_dim)
                added, drawn = self.decoder.paint(codes, conditions)
                if end < top:
                    features = features + self.bridge(drawn)
        restored = pyramid[-1]
        if added is not None:
            if added.shape[-1] < config.size:
                added = F.interpolate(added, size=config.size, mode="bilinear")
            restored = added + restored if config.residual else added
        if config.polish:
            restored = restored + self.polish(restored)
        if config.smooth_colour:
            restored = smooth_colour(restored)
        if config.sharpen and not self.training:
            restored = sharpened(restored)
        return Restored(restored, pyramid, None if code is None else self.describe(code))

    def _scale(self, i: int, features: Tensor, first: Tensor, code: Tensor | None) -> Tensor:
        """Scale `i` of the U-Net on the way up (1: 8 pixels) from what comes from below and from the side."""
        features = self._modulated(self.up[i - 1](features), code, i)
        last = i == len(self.up)
        if last and self.config.residual:
            features = features + first
        if self.deep:
            features = self.deep[i](features)
        if self.config.attention == 4 * 2**i:
            features = self.attention(features)
        return self.refine(features) if last else features

    def _own_picture(self, i: int, features: Tensor, x: Tensor) -> Tensor:
        """The U-Net's picture at scale `i`."""
        picture: Tensor = self.heads[i - 1](features)
        if i == len(self.up) and self.config.stem > 1:
            picture = F.pixel_shuffle(picture, self.config.stem)
        if self.config.residual:
            picture = picture + F.interpolate(x, size=picture.shape[-2:], mode="area")
        return picture

    def _modulated(self, features: Tensor, code: Tensor | None, scale: int) -> Tensor:
        """Features of a U-Net scale (0: 4 pixels) scaled and shifted by the code, where there is one."""
        if code is None:
            return features
        gain, shift = self.modulate[scale](code)[:, :, None, None].chunk(2, dim=1)
        return features * (1 + gain) + shift


class UnitRange(nn.Module):
    """A face network with [-1, 1] pictures as one picture-to-picture function on [0, 1]. Of a network that
    gives several, the first of a tuple is the picture, or the last of a list."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        y = self.network(x * 2 - 1)
        picture = y[0] if isinstance(y, tuple) else y[-1] if isinstance(y, list) else y
        return torch.clamp(picture * 0.5 + 0.5, 0, 1)
