"""A small classifier of facial expressions: descriptors from convolutions, one linear layer on top."""

from dataclasses import dataclass

import numpy as np
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

FACE = 256  # side of the aligned face
CROP = 48  # side of what the convolutions see of it ...
_LEFT, _TOP, _PIXEL = 56, 78, 3  # ... brows to chin, 3 x 3 pixels averaged to one

FRAME = np.array([[1, 0, 0.5 - _LEFT], [0, 1, 0.5 - _TOP]]) / _PIXEL - (0, 0, 0.5)
"""(2, 3): from pixels of the FFHQ template at 256 px to pixels of the crop, centres at whole numbers."""


@dataclass(frozen=True)
class ExpressionConfig:
    """Features after each halving, the first at half the crop's side, and the number of expressions."""

    features: tuple[int, ...] = (32, 64, 96, 128)
    expressions: int = 7


class Expression(nn.Module):
    """Faces on the FFHQ template, (N, 3, 256, 256) RGB in [0, 1] -> (N, expressions) logits; of crops, (N, 1,
    48, 48), `logits`. The same for a face and its mirror image (the mean of the two), and at another
    brightness or contrast."""

    def __init__(self, config: ExpressionConfig = ExpressionConfig()) -> None:
        super().__init__()
        self.config = config
        layers: list[nn.Module] = []
        before = 1
        for level, width in enumerate(config.features):
            kernel, stride = (3, 1) if level else (5, 2)
            layers += Conv2dNormActivation(before, width, kernel, stride)
            layers += Conv2dNormActivation(width, width)
            if level + 1 < len(config.features):
                layers.append(nn.MaxPool2d(2))
            before = width
        self.descriptor = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.classifier = nn.Sequential(nn.Dropout(0.3), nn.Linear(before, config.expressions))

    def forward(self, faces: Tensor) -> Tensor:
        if faces.shape[1] == 1:
            return self.logits(faces)
        side = CROP * _PIXEL
        crops = faces[:, :, _TOP : _TOP + side, _LEFT : _LEFT + side]
        luma = crops[:, 0] * 0.299 + crops[:, 1] * 0.587 + crops[:, 2] * 0.114
        crops = F.avg_pool2d(luma[:, None], _PIXEL)
        return (self.logits(crops) + self.logits(crops.flip(3))) / 2

    def logits(self, crops: Tensor) -> Tensor:
        """(N, 1, 48, 48) gray in any range -> (N, expressions), of the crops as they are."""
        mean = crops.mean((2, 3), keepdim=True)
        deviation = (crops - mean).square().mean((2, 3), keepdim=True).sqrt()
        return self.classifier(self.descriptor((crops - mean) / (deviation + 0.01)))
