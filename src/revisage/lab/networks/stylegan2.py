"""StyleGAN2 building blocks and the synthesis decoder, without custom operators.

Karras et al., *Analyzing and Improving the Image Quality of StyleGAN*, CVPR 2020, §2.2 (demodulation) and
§4.1 (skip generator), with bilinear resampling, as the "clean" GFP-GAN has it.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ModulatedConv2d(nn.Module):
    """Convolution whose input channels are scaled by a style, its output optionally demodulated: x (N, Cin,
    H, W), style (N, style_dim) -> (N, Cout, H, W).

    One shared convolution runs for the whole batch, and the demodulation factor 1/sqrt(sum (s_i w_ijk)^2)
    scales the output: the grouped form of the paper (eq. 1 and 3), as both are constant over positions.
    """

    def __init__(self, cin: int, cout: int, kernel: int, style_dim: int, *, demodulate: bool = True) -> None:
        super().__init__()
        self.demodulate = demodulate
        self.padding = kernel // 2
        self.modulation = nn.Linear(style_dim, cin)
        nn.init.normal_(self.modulation.weight, std=1 / math.sqrt(style_dim))
        nn.init.ones_(self.modulation.bias)
        self.weight = nn.Parameter(torch.randn(cout, cin, kernel, kernel) / math.sqrt(cin * kernel**2))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        scale = self.modulation(style)
        y = F.conv2d(x * scale[:, :, None, None].to(x.dtype), self.weight, padding=self.padding)
        if self.demodulate:
            # Squares of bf16 numbers lose too many digits: the factor is computed in float32.
            with torch.autocast(x.device.type, enabled=False):
                energy = self.weight.float().square().sum((2, 3))
                factor = torch.rsqrt(scale.float().square() @ energy.t() + 1e-8)
            y = y * factor[:, :, None, None].to(y.dtype)
        return y


class StyleConv(nn.Module):
    """Modulated 3x3 convolution, noise, bias, leaky ReLU; optionally upsampled by 2 first. The noise (none
    with `noise_size=None`) is drawn for every picture while training, and a stored buffer in use, so that the
    same photo always gives the same result."""

    noise: Tensor | None

    def __init__(
        self, cin: int, cout: int, style_dim: int, *, upsample: bool = False, noise_size: int | None = None
    ) -> None:
        super().__init__()
        self.upsample = upsample
        self.conv = ModulatedConv2d(cin, cout, 3, style_dim)
        self.bias = nn.Parameter(torch.zeros(1, cout, 1, 1))
        self.noise_weight = nn.Parameter(torch.zeros(1)) if noise_size else None
        self.register_buffer("noise", torch.randn(1, 1, noise_size, noise_size) if noise_size else None)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        if self.upsample:
            x = F.interpolate(x, scale_factor=2, mode="bilinear")
        y = self.conv(x, style) * math.sqrt(2)
        if self.noise_weight is not None:
            assert self.noise is not None
            noise = torch.randn_like(y[:, :1], dtype=torch.float32) if self.training else self.noise
            y = y + (self.noise_weight * noise).to(y.dtype)
        return F.leaky_relu(y + self.bias.to(y.dtype), 0.2)


class ToRGB(nn.Module):
    """Style-modulated 1x1 convolution to `channels` (3, or 3 r² for a pixel-shuffled picture)."""

    def __init__(self, cin: int, style_dim: int, channels: int = 3) -> None:
        super().__init__()
        self.conv = ModulatedConv2d(cin, channels, 1, style_dim, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        return self.conv(x, style) + self.bias.to(x.dtype)


class StyleDecoder(nn.Module):
    """The StyleGAN2 synthesis network, whose features can be modulated on their way (CS-SFT). `channels` are
    features at 4, 8, 16, ... pixels; the last picture is pixel-shuffled by `shuffle`, r.

    forward: codes (N, layers, style_dim); conditions one (alpha, beta) pair per resolution from 8 on, each
    (N, C/2, H, W), or None -> picture (N, 3, S r, S r) in [-1, 1].
    """

    def __init__(
        self, channels: tuple[int, ...], style_dim: int, *, shuffle: int = 1, noise: bool = True
    ) -> None:
        super().__init__()
        self.channels = channels
        self.shuffle = shuffle
        self.constant = nn.Parameter(torch.randn(1, channels[0], 4, 4))
        self.first = StyleConv(channels[0], channels[0], style_dim, noise_size=4 if noise else None)
        self.up = nn.ModuleList()
        self.flat = nn.ModuleList()
        self.rgb = nn.ModuleList()
        for level, (before, now) in enumerate(zip((channels[0], *channels), channels, strict=False)):
            last = level == len(channels) - 1
            self.rgb.append(ToRGB(now, style_dim, 3 * shuffle**2 if last else 3))
            if level:
                noise_size = 4 * 2**level if noise else None
                self.up.append(StyleConv(before, now, style_dim, upsample=True, noise_size=noise_size))
                self.flat.append(StyleConv(now, now, style_dim, noise_size=noise_size))

    @property
    def layers(self) -> int:
        """How many latent codes the decoder takes: one per convolution and one for the last RGB."""
        return 2 * len(self.channels)

    def forward(self, codes: Tensor, conditions: list[tuple[Tensor, Tensor]] | None = None) -> Tensor:
        return self.paint(codes, conditions)[0]

    def paint(
        self, codes: Tensor, conditions: list[tuple[Tensor, Tensor]] | None = None
    ) -> tuple[Tensor, Tensor]:
        """As `forward`, and the last features (N, channels[-1], S, S) beside the picture."""
        x = self.constant.expand(codes.shape[0], -1, -1, -1)
        x = self.first(x, codes[:, 0])
        picture = self._picture(0, x, codes[:, 1], None)
        for level in range(1, len(self.channels)):
            x = self.up[level - 1](x, codes[:, 2 * level - 1])
            if conditions is not None:
                x = channel_split_sft(x, *conditions[level - 1])
            x = self.flat[level - 1](x, codes[:, 2 * level])
            picture = self._picture(level, x, codes[:, 2 * level + 1], picture)
        return picture, x

    def _picture(self, level: int, x: Tensor, code: Tensor, before: Tensor | None) -> Tensor:
        new = self.rgb[level](x, code)
        before = None if before is None else F.interpolate(before, scale_factor=2, mode="bilinear")
        if level == len(self.channels) - 1 and self.shuffle > 1:
            new = F.pixel_shuffle(new, self.shuffle)
            if before is not None:
                before = F.interpolate(before, scale_factor=self.shuffle, mode="bilinear")
        return new if before is None else before + new


def channel_split_sft(features: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """Channel-split spatial feature transform (GFP-GAN, §3.4, eq. 4) of (N, C, H, W): the first half of the
    channels passes untouched (realness), the other becomes alpha ⊙ F + beta (fidelity), (N, C/2, H, W)."""
    same, changed = features.chunk(2, dim=1)
    return torch.cat((same, alpha * changed + beta), dim=1)
