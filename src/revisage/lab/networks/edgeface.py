"""EdgeFace-XS: a face embedding that stays near itself when the face is degraded.

Source: George et al., *EdgeFace: Efficient Face Recognition Model for Edge Devices*, 2023: EdgeNeXt
(Maaz et al., 2022) in its extra small size with a head of 512, here as timm has it.
"""

import timm
from torch import Tensor, nn


class EdgeFace(nn.Module):
    """(N, 3, 112, 112) RGB in [-1, 1] on the ArcFace template -> (N, 512) embedding, not normalised."""

    def __init__(self) -> None:
        super().__init__()
        self.network: nn.Module = timm.create_model("edgenext_x_small", pretrained=False)
        self.network.reset_classifier(512)

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)
