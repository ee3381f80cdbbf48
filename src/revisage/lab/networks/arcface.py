"""ArcFace (Deng et al., CVPR 2019): its template, its ResNet-18 on gray faces (§3.1, "IR"; layers named as in
the published `arcface_resnet18.pth`), and EdgeFace, on its template."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from revisage.faces import estimate
from revisage.lab.filters import STEMLESS, luma, smoothed

# Five landmarks, x and y, on the ArcFace template at 96x112 px (Deng et al., ArcFace, CVPR 2019, code).
_ARCFACE = (
    (30.2946, 51.6963), (65.5318, 51.5014), (48.0252, 71.7366), (33.5493, 92.3655), (62.7299, 92.2041),
)  # fmt: skip


class ArcFaceCrop(nn.Module):
    """(N, 3, S, S) face on the FFHQ template -> (N, 3, 112, width) on the ArcFace template, bilinear. `width`
    is 96, or 112 as most networks have it: 8 pixels more at either side. `shifts` (N, 2) moves each crop by
    so many pixels of it to the right and down.

    With `smooth`, `STEMLESS` takes away first, at 256 px, what the crop cannot hold: for a loss, 31 % of
    whose gradient would else lie there, and which dots that nobody's face has would lower.
    """

    grid: Tensor

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

    def forward(self, x: Tensor, shifts: Tensor | None = None) -> Tensor:
        # From 512 px the step is over 2 source pixels: shrink first, or the crop would alias.
        if x.shape[-1] > 256:
            x = F.interpolate(x, size=(256, 256), mode="area")
        if self.smooth:
            x = smoothed(x, STEMLESS)
        grid = self.grid.expand(x.shape[0], -1, -1, -1)
        if shifts is not None:
            grid = grid + (shifts * self.scale)[:, None, None].to(grid.dtype)
        return F.grid_sample(x, grid.to(x.dtype), mode="bilinear", padding_mode="border", align_corners=False)


# features before and after, stride
_STAGES = ((64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2))
_SIZE = 128


class _Unit(nn.Module):
    def __init__(self, cin: int, cout: int, stride: int) -> None:
        super().__init__()
        self.bn0 = nn.BatchNorm2d(cin)
        self.conv1 = nn.Conv2d(cin, cin, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(cin)
        self.prelu = nn.PReLU()  # one slope, used twice, as in the published weights
        self.conv2 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(cout)
        self.downsample = None
        if stride != 1 or cin != cout:
            self.downsample = nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout))

    def forward(self, x: Tensor) -> Tensor:
        y = self.prelu(self.bn1(self.conv1(self.bn0(x))))
        y = self.bn2(self.conv2(y))
        return self.prelu(y + (x if self.downsample is None else self.downsample(x)))


class ArcFaceResNet18(nn.Module):
    """(N, 1, 128, 128) gray in [-1, 1], as `gray_face` makes it -> (N, 512) embedding, not normalised."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 64, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.prelu = nn.PReLU()
        self.maxpool = nn.MaxPool2d(2)
        layers = (nn.Sequential(_Unit(a, b, stride), _Unit(b, b, 1)) for a, b, stride in _STAGES)
        self.layer1, self.layer2, self.layer3, self.layer4 = layers
        self.bn4 = nn.BatchNorm2d(512)
        self.dropout = nn.Dropout()
        self.fc5 = nn.Linear(512 * 8 * 8, 512)
        self.bn5 = nn.BatchNorm1d(512)

    def forward(self, x: Tensor) -> Tensor:
        y = self.maxpool(self.prelu(self.bn1(self.conv1(x))))
        y = self.layer4(self.layer3(self.layer2(self.layer1(y))))
        return self.bn5(self.fc5(self.dropout(self.bn4(y)).flatten(1)))


def gray_face(faces: Tensor) -> Tensor:
    """(N, 3, S, S) RGB face on the FFHQ template -> (N, 1, 128, 128) luma of ITU-R BT.601, bilinear, without
    another crop or smoothing: so GFP-GAN feeds this network in training."""
    return F.interpolate(luma(faces), size=(_SIZE, _SIZE), mode="bilinear")


def new_edgeface() -> nn.Module:
    """(N, 3, 112, 112) RGB in [-1, 1] on the ArcFace template -> (N, 512) embedding, not normalised:
    EdgeFace-XS (George et al., *EdgeFace: Efficient Face Recognition Model for Edge Devices*, 2023; EdgeNeXt
    by Maaz et al., 2022, from timm), which stays near itself when a face is degraded."""
    import timm

    return timm.create_model("edgenext_x_small", pretrained=False, num_classes=512)
