"""The embedded identity model: a smaller MobileFaceNet that takes faces as the face model does."""

import torch.nn.functional as F
from torch import Tensor, nn

from revisage.lab.networks.arcface_crop import ArcFaceCrop
from revisage.lab.networks.mobilefacenet import MobileFaceNet, MobileFaceNetConfig

SIZE = 256
COMPACT_IDENTITY = MobileFaceNetConfig(
    stem=48,
    stages=((2, 64, 4, 2), (4, 128, 1, 2), (2, 128, 5, 1), (4, 128, 1, 2), (2, 128, 2, 1)),
)


class Identity(nn.Module):
    """Faces on the FFHQ template, (N, 3, S, S) RGB in [0, 1] -> (N, D) of length 1: who it is.

    Two are compared by the angle between them.
    """

    def __init__(self, config: MobileFaceNetConfig = COMPACT_IDENTITY) -> None:
        super().__init__()
        self.config = config
        self.crop = ArcFaceCrop()
        self.network = MobileFaceNet(config)

    def forward(self, faces: Tensor) -> Tensor:
        return F.normalize(self.network(self.crop(faces * 2 - 1)))
