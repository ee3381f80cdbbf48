"""A small network that estimates from a small copy of a photo how it has faded, as levels of its channels: a
stain or a veil moves black or white point, and a dye that keeps a share k of its density turns v into v^k."""

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

DARKEST = 2.4  # density of 1/255
MOST = (0.4, 0.5, 0.9)  # of the black point, below 1 of the white point, of the logarithm of gamma


@dataclass(frozen=True)
class ToneConfig:
    """Features at half the copy's side, a quarter and so on, and of the layer that reads their means."""

    features: tuple[int, ...] = (16, 32, 48, 64)
    hidden: int = 128


class ToneNetwork(nn.Module):
    """(N, 3, H, W) RGB in [0, 1], a photo reduced to `revisage.restore.tone.SIDE` -> (N, 9): of red, green
    and blue the black points, in [0, 0.4], white points, in [0.5, 1], and gammas, in [0.4, 2.5]: v becomes
    ((v - black) / (white - black)) ** gamma."""

    def __init__(self, config: ToneConfig = ToneConfig()) -> None:
        super().__init__()
        self.config = config
        self.first = nn.Conv2d(6, config.features[0], 3, 2, 1)
        steps = list(pairwise(config.features))
        self.downs = nn.ModuleList(nn.Conv2d(a, b, 3, 2, 1) for a, b in steps)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(b, b, 3, 1, 1), nn.SiLU(), nn.Conv2d(b, b, 3, 1, 1)) for _, b in steps
        )
        self.hidden = nn.Linear(2 * config.features[-1] + 9, config.hidden)
        self.dropout = nn.Dropout(0.1)
        self.levels = nn.Linear(config.hidden, 9)
        nn.init.normal_(self.levels.weight, std=0.03)
        # Near "not faded", and with a slope there.
        self.levels.bias = nn.Parameter(torch.tensor([0.1] * 6 + [0.0] * 3))

    def forward(self, photo: Tensor) -> Tensor:
        density = -torch.log10(photo.clamp_min(1 / 255)) / DARKEST
        x = F.silu(self.first(torch.cat((photo, density), dim=1)))
        for down, block in zip(self.downs, self.blocks, strict=True):
            x = F.silu(down(x))
            x = x + block(x)
        tones = F.avg_pool2d(photo, 2)
        tones = torch.cat((tones.amin((2, 3)), tones.mean((2, 3)), tones.amax((2, 3))), dim=1)
        seen = torch.cat((x.mean((2, 3)), x.amax((2, 3)), tones), dim=1)
        black, white, gamma = self.levels(self.dropout(F.silu(self.hidden(seen)))).float().chunk(3, dim=1)
        black, white = MOST[0] * torch.tanh(F.relu(black)), 1 - MOST[1] * torch.tanh(F.relu(white))
        return torch.cat((black, white, torch.exp(MOST[2] * torch.tanh(gamma))), dim=1)


def relevel(photo: Tensor, levels: Tensor) -> Tensor:
    """(N, 3, H, W) in [0, 1] and (N, 9) as of `ToneNetwork` -> (N, 3, H, W) in [0, 1]."""
    black, white, gamma = levels[..., None, None].chunk(3, dim=1)
    # A root has no slope at zero.
    return ((photo - black) / (white - black)).clamp(1e-4, 1) ** gamma
