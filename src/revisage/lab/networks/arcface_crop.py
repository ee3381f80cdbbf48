"""From a face on the FFHQ template to the ArcFace template, differentiably."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from revisage.faces import estimate
from revisage.lab.networks.filters import STEMLESS, separable

# Five landmarks, x and y, on the ArcFace template at 96x112 px (Deng et al., ArcFace, CVPR 2019, code).
_ARCFACE = (
    (30.2946, 51.6963), (65.5318, 51.5014), (48.0252, 71.7366), (33.5493, 92.3655), (62.7299, 92.2041),
)  # fmt: skip


class ArcFaceCrop(nn.Module):
    """(N, 3, S, S) face on the FFHQ template -> (N, 3, 112, width) on the ArcFace template, bilinear.

    Args:
        width: 96, or 112 as most networks have it: 8 pixels more at either side.
        smooth: whether `STEMLESS` takes away first, at 256 px, what the crop cannot hold. A loss wants it:
            31 % of its gradient would else lie there, and a generator could lower the loss by dots that
            nobody's face has. Measures are published without.

    forward: `shifts` (N, 2) moves each crop by so many pixels of it to the right and down.
    """

    grid: Tensor
    line: Tensor

    def __init__(self, width: int = 96, *, smooth: bool = False) -> None:
        super().__init__()
        self.smooth = smooth
        (a, _, tx), (b, _, ty) = estimate(np.array(_ARCFACE), 512).tolist()  # to FFHQ pixels
        self.scale = math.hypot(a, b) * 2 / 512  # of a pixel of the crop, on a picture that is 2 wide
        margin = (width - 96) / 2
        y, x = torch.meshgrid(torch.arange(112.0), torch.arange(float(width)) - margin, indexing="ij")
        u, v = a * x - b * y + tx, b * x + a * y + ty
        # Template positions are pixel centres at 512; grid_sample takes [-1, 1] from edge to edge.
        grid = torch.stack(((2 * u + 1) / 512 - 1, (2 * v + 1) / 512 - 1), dim=-1)
        self.register_buffer("grid", grid[None])
        self.register_buffer("line", torch.tensor(STEMLESS), persistent=False)

    def forward(self, x: Tensor, shifts: Tensor | None = None) -> Tensor:
        # From 512 px the step is over 2 source pixels: shrink first, or the crop would alias.
        if x.shape[-1] > 256:
            x = F.interpolate(x, size=(256, 256), mode="area")
        if self.smooth:
            x = separable(x, self.line)
        grid = self.grid.expand(x.shape[0], -1, -1, -1)
        if shifts is not None:
            grid = grid + (shifts * self.scale)[:, None, None].to(grid.dtype)
        return F.grid_sample(x, grid.to(x.dtype), mode="bilinear", padding_mode="border", align_corners=False)
