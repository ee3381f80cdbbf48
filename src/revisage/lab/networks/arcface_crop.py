"""From a face on the FFHQ template to the ArcFace template, differentiably."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Five landmarks (x, y): right eye, left eye, nose, right and left mouth corner, on the FFHQ template at
# 512 px and on the ArcFace template at 96x112 px (Deng et al., ArcFace, CVPR 2019, code).
_FFHQ_512 = ((192.98, 239.95), (318.90, 240.19), (256.63, 314.02), (201.26, 371.41), (313.09, 371.15))
_ARCFACE = (
    (30.2946, 51.6963),
    (65.5318, 51.5014),
    (48.0252, 71.7366),
    (33.5493, 92.3655),
    (62.7299, 92.2041),
)


def _fit() -> tuple[float, float, float, float]:
    """Least-squares similarity (a, b, tx, ty) from ArcFace pixels to FFHQ pixels at 512."""
    rows, values = [], []
    for (x, y), (u, v) in zip(_ARCFACE, _FFHQ_512, strict=True):
        rows += [[x, -y, 1, 0], [y, x, 0, 1]]
        values += [u, v]
    a, b, tx, ty = np.linalg.lstsq(np.array(rows), np.array(values), rcond=None)[0]
    return float(a), float(b), float(tx), float(ty)


class ArcFaceCrop(nn.Module):
    """(N, 3, S, S) face on the FFHQ template -> (N, 3, 112, 96) on the ArcFace template, bilinear."""

    grid: Tensor

    def __init__(self) -> None:
        super().__init__()
        a, b, tx, ty = _fit()
        y, x = torch.meshgrid(torch.arange(112.0), torch.arange(96.0), indexing="ij")
        u, v = a * x - b * y + tx, b * x + a * y + ty
        # Template positions are pixel centres at 512; grid_sample takes [-1, 1] from edge to edge.
        grid = torch.stack(((2 * u + 1) / 512 - 1, (2 * v + 1) / 512 - 1), dim=-1)
        self.register_buffer("grid", grid[None])

    def forward(self, x: Tensor) -> Tensor:
        # From 512 px the step is over 2 source pixels: shrink first, or the crop would alias.
        if x.shape[-1] > 256:
            x = F.interpolate(x, size=(256, 256), mode="area")
        grid = self.grid.expand(x.shape[0], -1, -1, -1).to(x.dtype)
        return F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)
