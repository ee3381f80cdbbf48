"""The trunk of SqueezeNet 1.1, which knows from ImageNet what things look like.

Source: Iandola et al., *SqueezeNet: AlexNet-level accuracy with 50x fewer parameters*, 2016, as torchvision
has it.
"""

from torch import Tensor, nn
from torchvision.models import squeezenet1_1

from revisage.lab.networks.vgg import IMAGENET

CHANNELS = (128, 256, 384)
"""Features at a quarter, an eighth and a sixteenth of the picture's size."""
_LAST = (4, 7, 10)  # layers of the three


class SqueezeNet(nn.Module):
    """(N, 3, H, W) RGB in [0, 1], sides multiples of 16 -> three maps of `CHANNELS` features.

    Padded, unlike torchvision's, so that sizes halve exactly; the last two blocks of eight are left out.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.features = squeezenet1_1(weights=None).features[: _LAST[-1] + 1]
        for layer in self.features:
            if isinstance(layer, nn.Conv2d):
                layer.padding = (1, 1)
            elif isinstance(layer, nn.MaxPool2d):
                layer.padding, layer.ceil_mode = 1, False
        for name, values in IMAGENET.items():
            self.register_buffer(name, values.clone(), persistent=False)

    def forward(self, x: Tensor) -> list[Tensor]:
        y, maps = (x - self.mean) / self.deviation, []
        for i, layer in enumerate(self.features):
            y = layer(y)
            if i in _LAST:
                maps.append(y)
        return maps
