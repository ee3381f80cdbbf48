"""ArcFace's ResNet-18 on gray faces: the identity network of GFP-GAN.

Source: Deng et al., *ArcFace*, CVPR 2019, §3.1 (the improved residual unit, "IR"). Layer names follow the
published `arcface_resnet18.pth`.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

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
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            nn.Sequential(_Unit(cin, cout, stride), _Unit(cout, cout, 1)) for cin, cout, stride in _STAGES
        )
        self.bn4 = nn.BatchNorm2d(512)
        self.dropout = nn.Dropout()
        self.fc5 = nn.Linear(512 * 8 * 8, 512)
        self.bn5 = nn.BatchNorm1d(512)

    def forward(self, x: Tensor) -> Tensor:
        y = self.maxpool(self.prelu(self.bn1(self.conv1(x))))
        y = self.layer4(self.layer3(self.layer2(self.layer1(y))))
        y = self.dropout(self.bn4(y)).flatten(1)
        return self.bn5(self.fc5(y))


def gray_face(faces: Tensor) -> Tensor:
    """(N, 3, S, S) RGB face on the FFHQ template -> (N, 1, 128, 128) luma of ITU-R BT.601, bilinear.

    The whole crop, without a crop to another template and without smoothing before it shrinks: so GFP-GAN
    feeds this network in training.
    """
    weights = torch.tensor((0.299, 0.587, 0.114), device=faces.device, dtype=faces.dtype)
    gray = (faces * weights.view(1, 3, 1, 1)).sum(1, keepdim=True)
    return F.interpolate(gray, size=(_SIZE, _SIZE), mode="bilinear")
