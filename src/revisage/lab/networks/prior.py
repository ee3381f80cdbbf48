"""The generative prior: StyleGAN2's generator of faces, whose decoder GFP-GAN takes over. Karras et al., *A
Style-Based Generator Architecture*, CVPR 2019, §2 (mapping) and §3.1 (style mixing); StyleGAN2, CVPR 2020."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from revisage.lab.networks.discriminators import EqualLinear, activate
from revisage.lab.networks.gfpgan import GFPGANConfig
from revisage.lab.networks.stylegan2 import StyleDecoder


@dataclass(frozen=True)
class PriorConfig:
    """Sizes of a generator of faces."""

    size: int
    """Side of the picture in pixels."""
    channels: tuple[int, ...]
    """Decoder features at 4, 8, ... size/stem pixels."""
    style_dim: int = 512
    """Length of a latent code, in Z as in W."""
    mapping: int = 8
    """Layers from Z to W."""
    stem: int = 1
    """The decoder works at size/stem, and its last picture is pixel-shuffled."""
    noise: bool = True
    """Noise buffers in the decoder."""

    @classmethod
    def of(cls, network: GFPGANConfig, mapping: int = 8) -> Self:
        """The prior whose decoder fits a GFP-GAN; smaller than it where its decoder ends before its U-Net."""
        size = network.size >> (len(network.unet) - len(network.prior))
        return cls(size, network.prior, network.style_dim, mapping, stem=network.stem, noise=network.noise)


class FacePrior(nn.Module):
    """Latent vectors z (N, style_dim) ~ N(0, 1) -> faces (N, 3, size, size) in [-1, 1], about."""

    mean: Tensor  # of W
    length: Tensor  # of paths, for their regularisation

    def __init__(self, config: PriorConfig) -> None:
        super().__init__()
        self.config = config
        width = config.style_dim
        self.mapping = nn.ModuleList(EqualLinear(width, width, rate=0.01) for _ in range(config.mapping))
        self.decoder = StyleDecoder(config.channels, width, shuffle=config.stem, noise=config.noise)
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("length", torch.zeros(()))

    def codes(self, z: Tensor) -> Tensor:
        """z (N, D) -> w (N, D); z is normalised to unit variance first."""
        w = z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8)
        for layer in self.mapping:
            w = activate(layer(w))
        return w

    def remember(self, w: Tensor, rate: float = 0.005) -> None:
        """Move the running mean of W, towards which truncation pulls."""
        self.mean.lerp_(w.detach().float().mean(0), rate)

    def draw(self, w: Tensor) -> Tensor:
        """One code for all layers, w (N, D), or one for each, (N, layers, D) -> (N, 3, size, size)."""
        if w.dim() == 2:
            w = w[:, None].expand(-1, self.decoder.layers, -1)
        return self.decoder(w)

    def forward(self, z: Tensor, truncation: float = 1.0) -> Tensor:
        """`truncation` under 1 pulls codes towards the mean: likelier faces, less variety (§B)."""
        w = self.codes(z)
        if truncation != 1:
            w = torch.lerp(self.mean.to(w.dtype), w, truncation)
        return self.draw(w)
