"""The compact VGG-style network for whole photos: all work at low resolution, one pixel-shuffle at the end.
SRVGGNetCompact of Wang et al., *Real-ESRGAN*, ICCVW 2021, in later releases, with its weights' names."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class CompactConfig:
    """Features per layer, hidden 3x3 layers between the first and the last, and upscaling factor."""

    features: int = 64
    layers: int = 16
    scale: int = 2


class Compact(nn.Module):
    """(N, 3, H, W) in [0, 1] -> (N, 3, H r, W r): nearest-neighbour input plus a learned correction. Tiles
    need an overlap of layers + 2 pixels."""

    def __init__(self, config: CompactConfig) -> None:
        super().__init__()
        self.config = config
        width = config.features
        body: list[nn.Module] = [nn.Conv2d(3, width, 3, 1, 1), nn.PReLU(width)]
        for _ in range(config.layers):
            body += [nn.Conv2d(width, width, 3, 1, 1), nn.PReLU(width)]
        last = nn.Conv2d(width, 3 * config.scale**2, 3, 1, 1)
        self.body = nn.Sequential(*body, last)
        for module in self.body:
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, a=0.25)
                nn.init.zeros_(module.get_parameter("bias"))
        last.weight.data *= 0.05

    def forward(self, x: Tensor) -> Tensor:
        base = F.interpolate(x, scale_factor=self.config.scale, mode="nearest")
        return base + F.pixel_shuffle(self.body(x), self.config.scale)


def with_weights(state: Mapping[str, Tensor]) -> Compact:
    """The network of a checkpoint's tensors, its sizes read off them; ValueError when they are another's."""
    parts = sum(name.endswith(".weight") for name in state)
    try:
        features, out = (len(state[f"body.{part}.weight"]) for part in (0, parts - 1))
        network = Compact(CompactConfig(features, (parts - 3) // 2, math.isqrt(out // 3)))
        network.load_state_dict(state)
    except (KeyError, RuntimeError) as error:
        raise ValueError(f"no compact network: {error}") from None
    return network.eval().requires_grad_(False)
