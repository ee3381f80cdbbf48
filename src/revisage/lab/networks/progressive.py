"""The progressive face GAN: three steps of the generator, each twice as large, and a critic that grows along.

Source: Kim et al., *Progressive Face Super-Resolution via Attention to Facial Landmark*, BMVC 2019; an RGB
output at every size after Karras et al., *Progressive Growing of GANs*, ICLR 2018; a critic without batch
norms after Gulrajani et al., *Improved Training of Wasserstein GANs*, NIPS 2017.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from revisage.lab.networks.gfpgan import RefineBlock

STEPS = 3
INPUT = 16
"""Side of the features that step 1 starts from, and of the thumbnail of objective 1."""
SIZE = INPUT * 2**STEPS
"""Side of the restored picture."""


@dataclass(frozen=True)
class ProgressiveConfig:
    """Sizes of the generator. Raises ValueError when numbers are missing."""

    widths: tuple[int, ...]
    """Features at 16, 32, 64 and 128 px."""
    blocks: tuple[int, ...]
    """Residual blocks at each of these."""
    encoder: bool = False
    """Objective 2: the input is 128 px, and an encoder turns it into widths[0] features at 16 px. Without it
    the input is 16 px (objective 1)."""
    residual: bool = True
    """Each step's picture starts from the input brought to its size, so that the network adds what is
    missing; the paper's makes the picture anew."""
    skips: bool = True
    """The encoder's features join those of the same size in the steps; the paper has none."""

    def __post_init__(self) -> None:
        for name, values in (("widths", self.widths), ("blocks", self.blocks)):
            if len(values) != STEPS + 1:
                raise ValueError(f"{name} needs {STEPS + 1} numbers, for 16 to 128 px, got {values}")

    @property
    def size(self) -> int:
        """Side of the input in pixels."""
        return SIZE if self.encoder else INPUT


def activate(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.2, inplace=True)  # of a convolution's output, which its gradient does not need


class Encoder(nn.Module):
    """(N, 3, 128, 128) -> its features at 16, 32, 64 and 128 px, of the config's widths (objective 2)."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, widths[-1], 3, 1, 1)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 4, 2, 1) for a, b in pairwise(reversed(widths)))

    def forward(self, x: Tensor) -> list[Tensor]:
        features = [activate(self.first(x))]
        for conv in self.down:
            features.append(activate(conv(features[-1])))
        return features[::-1]


class Step(nn.Module):
    """Twice as large: (N, a, H, W) -> (N, b, 2 H, 2 W)."""

    def __init__(self, a: int, b: int, blocks: int) -> None:
        super().__init__()
        # A kernel of twice the stride covers every pixel alike (Odena et al., 2016), and the next convolution
        # sees all of them: a pixel-shuffle of the picture itself leaves a grid.
        self.conv = nn.ConvTranspose2d(a, b, 4, 2, 1)
        self.blocks = nn.Sequential(*(RefineBlock(b) for _ in range(blocks)))

    def forward(self, x: Tensor, skip: Tensor | None) -> Tensor:
        y = activate(self.conv(x))
        return self.blocks(y if skip is None else y + skip)


class Progressive(nn.Module):
    """The generator of both objectives, pictures in [-1, 1]. forward(x, step): (N, 3, size, size) -> the
    pictures of steps 1 to `step`, a list of (N, 3, 32, 32), (N, 3, 64, 64) and (N, 3, 128, 128)."""

    def __init__(self, config: ProgressiveConfig) -> None:
        super().__init__()
        self.config = config
        widths, blocks = config.widths, config.blocks
        if config.encoder:
            self.encoder = Encoder(widths)
        else:
            self.first = nn.Conv2d(3, widths[0], 3, 1, 1)
        self.trunk = nn.Sequential(*(RefineBlock(widths[0]) for _ in range(blocks[0])))
        sizes = zip(pairwise(widths), blocks[1:], strict=True)
        self.steps = nn.ModuleList(Step(*pair, count) for pair, count in sizes)
        self.heads = nn.ModuleList(nn.Conv2d(width, 3, 3, 1, 1) for width in widths[1:])
        self._initialise()

    def _initialise(self) -> None:
        for name, module in self.named_modules():
            if isinstance(module, nn.ConvTranspose2d):  # four of its sixteen taps make one pixel
                nn.init.normal_(module.weight, std=(1.92 / (module.in_channels * 4)) ** 0.5)
            elif isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, a=0.2)
                nn.init.zeros_(module.get_parameter("bias"))
                if name.endswith("conv2"):
                    module.weight.data *= 0.1  # blocks begin close to the identity
                elif name.startswith("heads."):
                    module.weight.data *= 0.02 if self.config.residual else 0.3

    def forward(self, x: Tensor, step: int = STEPS) -> list[Tensor]:
        config = self.config
        if config.encoder:
            features, *skips = self.encoder(x)
        else:
            features, skips = activate(self.first(x)), []
        features = self.trunk(features)
        pictures = []
        for number in range(step):
            features = self.steps[number](features, skips[number] if config.skips and skips else None)
            picture = self.heads[number](features).float()
            pictures.append(picture + brought(x, INPUT * 2 ** (number + 1)) if config.residual else picture)
        return pictures


def brought(x: Tensor, size: int) -> Tensor:
    """(N, 3, S, S) -> (N, 3, size, size): averaged down, bicubic up."""
    if x.shape[-1] == size:
        return x
    if x.shape[-1] > size:
        return F.avg_pool2d(x, x.shape[-1] // size)
    return F.interpolate(x, size=(size, size), mode="bicubic")


class Critic(nn.Module):
    """The critic of all three steps: forward(x, step) -> scores (N,), unbounded, of (N, 3, 16 · 2^step, ...).
    Each size has its own way in, a convolution that halves it; what follows is shared. `widths`: features at
    64, 32, 16, 8 and 4 px."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        if len(widths) != STEPS + 2:
            raise ValueError(f"widths needs {STEPS + 2} numbers, for 64 to 4 px, got {widths}")
        self.entries = nn.ModuleList(nn.Conv2d(3, width, 4, 2, 1) for width in reversed(widths[:STEPS]))
        self.down = nn.ModuleList(nn.Conv2d(a, b, 4, 2, 1) for a, b in pairwise(widths))
        self.score = nn.Linear(widths[-1] * 16, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, a=0.2)

    def forward(self, x: Tensor, step: int) -> Tensor:
        x = activate(self.entries[step - 1](x))
        for conv in self.down[STEPS - step :]:
            x = activate(conv(x))
        # Scores have no bound: in 16 bits large ones would lose the differences that count.
        with torch.autocast(x.device.type, enabled=False):
            return self.score(x.flatten(1).float())[:, 0]
