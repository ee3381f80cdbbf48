"""GFP-GAN's generator: a degradation-removing U-Net that steers a StyleGAN2 decoder.

Source: Wang et al., *Towards Real-World Blind Face Restoration with Generative Facial Prior*, CVPR 2021,
§3.1-3.4. One class for every size: the published 512 px layout and the compact 256 px one are presets.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from revisage.lab.networks.stylegan2 import StyleDecoder


@dataclass(frozen=True)
class GFPGANConfig:
    """Sizes of a generator.

    Attributes:
        size: side of the picture in pixels.
        unet: U-Net features at 4, 8, ... size/stem pixels.
        prior: decoder features at the same resolutions.
        style_dim: length of one latent code.
        latent_channels: the bottleneck is reduced to so many channels before the linear layer that makes
            the codes (None: not reduced, as published).
        stem: pixel-unshuffle factor in front; the U-Net and the decoder then work at size/stem, and their
            pictures are pixel-shuffled back. Moves work from thin full-resolution layers, which a CPU
            runs badly, to wider ones.
        condition_layers: convolutions from a U-Net map to (alpha, beta): 2 for each (as published) or
            1 shared by both.
        head_kernel: kernel of the U-Net's RGB outputs.
        residual: the picture starts from the input and from the U-Net's own RGB output, so that the
            prior adds instead of rebuilding, and the stem's features join the last U-Net scale.
        refine: residual blocks behind the U-Net's finest scale, where noise and JPEG blocks are told from
            skin and hair. An exported file without them can start a training with them.
        polish: features of a residual block over the restored picture at its full size. With a stem every
            block of stem x stem pixels is written by itself, and edges come out serrated; it sees across. An
            exported file without it can start a training with it.
        grain: whether fine texture is added last, as much as fits the place (`Grain`). An exported file
            without it can start a training with it.
        noise: noise buffers in the decoder.
        decoder: without it the U-Net's own RGB output is the restored picture: the ablation "no prior".
    """

    size: int
    unet: tuple[int, ...]
    prior: tuple[int, ...]
    style_dim: int = 512
    latent_channels: int | None = None
    stem: int = 1
    condition_layers: int = 2
    head_kernel: int = 1
    residual: bool = False
    refine: int = 0
    polish: int = 0
    grain: bool = False
    noise: bool = True
    decoder: bool = True

    def __post_init__(self) -> None:
        side, rest = divmod(self.size, self.stem) if self.stem > 0 else (0, 0)
        if rest or side < 8 or side.bit_count() != 1:
            raise ValueError(f"size / stem must be a power of two of at least 8, got {self.size}/{self.stem}")
        levels = side.bit_length() - 2
        for name, channels in (("unet", self.unet), ("prior", self.prior)):
            if len(channels) != levels:
                raise ValueError(f"{name} needs {levels} entries for {self.size} px, got {len(channels)}")
        if any(channels % 2 for channels in self.prior[1:]):
            raise ValueError(f"prior must be even numbers, CS-SFT halves them, got {self.prior}")
        if self.condition_layers not in (1, 2):
            raise ValueError(f"condition_layers must be 1 or 2, got {self.condition_layers}")


COMPACT_256 = GFPGANConfig(
    size=256,
    unet=(160, 192, 192, 128, 96),
    prior=(160, 192, 192, 128, 96),
    style_dim=128,
    latent_channels=64,
    stem=4,
    condition_layers=1,
    head_kernel=3,
    residual=True,
    refine=2,
    polish=16,
    grain=True,
    noise=False,
)


def published_512(multiplier: int) -> GFPGANConfig:
    """The paper's 512 px layout: 7 steps down and up, CS-SFT on half of the channels, noise buffers.

    Args:
        multiplier: widens the layers from 64 px on; 1 in the paper, 2 in the released 1.2, 1.3 and 1.4.
    """
    prior = (512, 512, 512, 512, *(width * multiplier for width in (256, 128, 64, 32)))
    return GFPGANConfig(size=512, unet=tuple(width // 2 for width in prior), prior=prior)


def _scale(module: nn.Module, names: Iterable[str], factor: float) -> None:
    """Multiply the initial weights of some submodules."""
    for name in names:
        module.get_parameter(f"{name}.weight").data.mul_(factor)


def _activate(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.2)


class ResBlock(nn.Module):
    """Two 3x3 convolutions with a resampling by 2 between them, and a 1x1 convolution beside them."""

    def __init__(self, in_channels: int, out_channels: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.conv1 = nn.Conv2d(in_channels, in_channels, 3, 1, 1)
        self.conv2 = nn.Conv2d(in_channels, out_channels, 3, 1, 1)
        self.skip = nn.Conv2d(in_channels, out_channels, 1, bias=False)

    def _resample(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=self.scale, mode="bilinear", align_corners=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self._resample(_activate(self.conv1(x)))
        y = _activate(self.conv2(y))
        return y + self._resample(self.skip(x))


class RefineBlock(nn.Module):
    """Two 3x3 convolutions beside the identity, which it is close to at first. Keeps (N, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, 1, 1)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv2(_activate(self.conv1(x)))
        return x + y


class Grain(nn.Module):
    """Fine texture where a picture would be smoother than skin and cloth are.

    forward: features (N, C, s, s) -> (N, 1, size, size), in units of a picture in [-1, 1]: one pattern of
    noise, a stored buffer as in `StyleConv`, times a strength that the features tell, at most `limit`. The
    mean of all that may be, which L1 asks for, has no texture, and from an input without any a convolution
    can only make some that repeats.
    """

    limit = 4 / 127.5
    pool = 4  # how much texture there should be is told by a place's surroundings, not by its edges
    gain = 8  # the last layer is small beside the others: so it learns as fast as they do
    noise: Tensor

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.strength = nn.Sequential(nn.Conv2d(channels, 32, 1), nn.LeakyReLU(0.2), nn.Conv2d(32, 1, 1))
        white = torch.randn((1, 1, size, size), generator=torch.Generator().manual_seed(0))
        binomial = torch.tensor([1.0, 2.0, 1.0])  # texture in a photo is no sharper than its lens
        kernel = torch.outer(binomial, binomial).view(1, 1, 3, 3)
        smooth = F.conv2d(F.pad(white, (1, 1, 1, 1), mode="circular"), kernel / kernel.square().sum().sqrt())
        self.register_buffer("noise", smooth)

    def forward(self, features: Tensor) -> Tensor:
        strength = self.limit * torch.sigmoid(self.gain * self.strength(F.avg_pool2d(features, self.pool)))
        size = self.noise.shape[-2:]
        return F.interpolate(strength, size=size, mode="bilinear", align_corners=False) * self.noise


class Condition(nn.Module):
    """(alpha, beta) of CS-SFT from one U-Net map: (N, C, H, W) -> two of (N, out, H, W)."""

    def __init__(self, channels: int, out: int, layers: int) -> None:
        super().__init__()
        if layers == 1:
            self.joint = nn.Conv2d(channels, 2 * out, 3, 1, 1)
        else:
            self.scale, self.shift = (
                nn.Sequential(
                    nn.Conv2d(channels, channels, 3, 1, 1),
                    nn.LeakyReLU(0.2),
                    nn.Conv2d(channels, out, 3, 1, 1),
                )
                for _ in range(2)
            )
        self.layers = layers

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if self.layers == 1:
            alpha, beta = self.joint(x).chunk(2, dim=1)
            return 1 + alpha, beta
        return self.scale(x), self.shift(x)


class GFPGAN(nn.Module):
    """Degraded face -> (restored face, the U-Net's pictures at each decoder scale).

    forward: (N, 3, size, size) in [-1, 1] -> ((N, 3, size, size), list of (N, 3, s, s) from the smallest
    s to the largest). The list serves the pyramid restoration loss (§3.2) and is ignored in use.
    `training_only` names the weights that only that list needs, so that no exported file has them, and
    `added` those that an exported file may lack: it can be of the U-Net alone.
    """

    added = ("refine.", "polish.", "grain.", "conditions.", "decoder.", "squeeze.", "codes.")

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
            self.polish = nn.Sequential(
                nn.Conv2d(3, config.polish, 3, 1, 1), nn.LeakyReLU(0.2), nn.Conv2d(config.polish, 3, 3, 1, 1)
            )
        if config.grain:
            self.grain = Grain(unet[top], config.size)
        last_head = config.residual or not config.decoder  # whether the picture needs the last head
        self.training_only = tuple(f"heads.{i}." for i in range(top - 1 if last_head else top))
        if config.decoder:
            self.conditions = nn.ModuleList(
                Condition(unet[i], config.prior[i] // 2, config.condition_layers) for i in range(1, top + 1)
            )
            self.decoder = StyleDecoder(config.prior, config.style_dim, shuffle=stem, noise=config.noise)
            squeezed = config.latent_channels or unet[0]
            self.squeeze = nn.Conv2d(unet[0], squeezed, 1) if config.latent_channels else nn.Identity()
            self.codes = nn.Linear(squeezed * 16, self.decoder.layers * config.style_dim)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, a=0.2)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for block in (*self.down, *self.up):
            # Two branches are summed: without this the variance doubles at every block.
            _scale(block, ("conv2", "skip"), math.sqrt(0.5))
        _scale(self, [f"refine.{i}.conv2" for i in range(len(self.refine))], 0.05)
        if self.config.polish:
            _scale(self, ["polish.2"], 0.02)
        if self.config.grain:
            _scale(self, ["grain.strength.2"], 0.1)
            nn.init.constant_(self.get_parameter("grain.strength.2.bias"), -0.2)
        if self.config.residual:
            _scale(self, [f"heads.{i}" for i in range(len(self.heads))], 0.02)
        if not self.config.decoder:
            return
        if self.config.residual:
            _scale(self.decoder, [f"rgb.{i}.conv" for i in range(len(self.decoder.rgb))], 0.02)
        # Close to alpha = 1, beta = 0: factors beyond that multiply from scale to scale (7 times at 512 px).
        last = ("joint",) if self.config.condition_layers == 1 else ("scale.2", "shift.2")
        for condition in self.conditions:
            _scale(condition, last, 0.1)
            if self.config.condition_layers == 2:
                nn.init.ones_(condition.get_parameter("scale.2.bias"))

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        config = self.config
        first = _activate(self.first(F.pixel_unshuffle(x, config.stem) if config.stem > 1 else x))
        features, skips = first, []
        for block in self.down:
            features = block(features)
            skips.append(features)
        features = bottleneck = _activate(self.bottleneck(features))

        pyramid, conditions = [], []
        for i, block in enumerate(self.up):
            features = block(features + skips[-1 - i])
            last = i == len(self.up) - 1
            if last and config.residual:
                features = features + first
            if last:
                features = self.refine(features)
            picture = self.heads[i](features)
            if last and config.stem > 1:
                picture = F.pixel_shuffle(picture, config.stem)
            if config.residual:
                picture = picture + F.interpolate(x, size=picture.shape[-2:], mode="area")
            pyramid.append(picture)
            if config.decoder:
                conditions.append(self.conditions[i](features))
        if not config.decoder:
            return self._finished(pyramid[-1], features), pyramid
        codes = self.codes(self.squeeze(bottleneck).flatten(1))
        restored = self.decoder(codes.view(-1, self.decoder.layers, config.style_dim), conditions)
        if config.residual:
            restored = restored + pyramid[-1]
        return self._finished(restored, features), pyramid

    def _finished(self, picture: Tensor, features: Tensor) -> Tensor:
        if self.config.polish:
            picture = picture + self.polish(picture)
        return picture + self.grain(features) if self.config.grain else picture


class UnitRange(nn.Module):
    """A face network with [-1, 1] pictures as one picture-to-picture function on [0, 1]."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        y = self.network(x * 2 - 1)
        picture = y[0] if isinstance(y, tuple) else y
        return torch.clamp(picture * 0.5 + 0.5, 0, 1)
