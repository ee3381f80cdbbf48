"""The damage model's network: where a photo has scratches, creases, dust and other marks of its surface.

A residual U-Net over the photo unshuffled by 2, as the scene model's trunk, but deep: at a sixteenth of the
size it sees some 200 pixels around, which tell a scratch from a wire, a hair or a stroke of writing. A trunk
that was trained on other things tells it what the photo shows.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from revisage.lab.networks.imagenet import CHANNELS, SqueezeNet
from revisage.lab.networks.scene import Block

STRIDE = 16
"""Height and width must be multiples of this, for the default sizes."""
_RARE = -3.0  # logit of a fresh network: few pixels are damaged


@dataclass(frozen=True)
class DamageConfig:
    """Sizes."""

    widths: tuple[int, ...] = (32, 48, 64, 96)
    """Features at a half, a quarter, ... of the photo's size."""
    blocks: int = 3
    """Residual blocks at the coarsest level; the others have one before and one after."""
    trunk: bool = False
    """Whether what `SqueezeNet` sees is added to the three coarsest levels, of four."""


class Damage(nn.Module):
    """(N, 3, H, W) RGB in [0, 1], sides multiples of `STRIDE` -> (N, 1, H, W), the probability of damage."""

    def __init__(self, config: DamageConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        fine = widths[:-1]
        self.stem = nn.Conv2d(12, widths[0], 3, 1, 1)
        self.before = nn.ModuleList(Block(width) for width in fine)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 2, 2) for a, b in zip(fine, widths[1:], strict=True))
        if config.trunk:
            self.trunk = SqueezeNet()
            pairs = zip(CHANNELS, widths[1:], strict=True)
            self.fuse = nn.ModuleList(nn.Conv2d(seen, width, 1) for seen, width in pairs)
        self.middle = nn.Sequential(*(Block(widths[-1]) for _ in range(config.blocks)))
        self.up = nn.ModuleList(nn.Conv2d(b, 4 * a, 1) for a, b in zip(fine, widths[1:], strict=True))
        self.after = nn.ModuleList(Block(width) for width in fine)
        self.head = nn.Conv2d(widths[0], 4, 3, 1, 1)
        nn.init.constant_(self.head.get_parameter("bias"), _RARE)

    def logits(self, x: Tensor) -> Tensor:
        """As the network itself, before the sigmoid."""
        features, skips = self.stem(F.pixel_unshuffle(x, 2)), []
        seen = self.trunk(x) if self.config.trunk else []
        for i, (block, down) in enumerate(zip(self.before, self.down, strict=True)):
            skips.append(block(features))
            features = down(skips[-1])
            if seen:
                features = features + self.fuse[i](seen[i])
        features = self.middle(features)
        for skip, up, block in reversed(list(zip(skips, self.up, self.after, strict=True))):
            features = block(skip + F.pixel_shuffle(up(features), 2))
        return F.pixel_shuffle(self.head(features), 2)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.logits(x))
