"""Networks that know from ImageNet what things look like, as torchvision has them, for the features inside.

Simonyan and Zisserman, *Very Deep Convolutional Networks*, ICLR 2015, configuration E (VGG-19), with features
before activation after Wang et al., *ESRGAN*, ECCVW 2018, §3.2; Iandola et al., *SqueezeNet: AlexNet-level
accuracy with 50x fewer parameters*, 2016 (version 1.1).
"""

from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn
from torchvision.models import squeezenet1_1
from torchvision.models.vgg import cfgs, make_layers

from revisage.errors import ModelCorruptError

PERCEPTUAL_LAYERS = {"conv1_2": 2, "conv2_2": 7, "conv3_4": 16, "conv4_4": 25, "conv5_4": 34}
"""Where among VGG-19's layers these convolutions are (stage _ place in it)."""
CHANNELS = (128, 256, 384)
"""Features of `SqueezeNet` at a quarter, an eighth and a sixteenth of the picture's size."""


class _Trunk(nn.Module):
    """(N, 3, H, W) RGB in [0, 1], less ImageNet's mean, by its deviation -> the maps behind `layers`."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, features: nn.Sequential, layers: Collection[int]) -> None:
        super().__init__()
        self.features, self.layers = features[: max(layers) + 1], tuple(layers)
        imagenet = {"mean": (0.485, 0.456, 0.406), "deviation": (0.229, 0.224, 0.225)}
        for name, values in imagenet.items():
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> list[Tensor]:
        y, maps = (x - self.mean) / self.deviation, []
        for i, layer in enumerate(self.features):
            y = layer(y)
            if i in self.layers:
                maps.append(y)
        return maps


class VGG19Features(_Trunk):
    """(N, 3, H, W) RGB in [-1, 1], 16 px or more a side -> a feature map of each of `PERCEPTUAL_LAYERS`.

    They are of before its activation: stage k is at 1 / 2^(k-1) of the picture's size. The weights are fixed
    (gradients reach the picture only): those needed of `state`, torchvision's state dict of VGG-19; random
    without it. Raises ModelCorruptError when a weight is missing or has another shape.
    """

    def __init__(self, state: Mapping[str, Tensor] | None = None) -> None:
        super().__init__(make_layers(cfgs["E"]), PERCEPTUAL_LAYERS.values())
        for layer in self.features:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            elif isinstance(layer, nn.ReLU):
                layer.inplace = False  # it would overwrite the features before activation
        self.requires_grad_(False)
        if state is None:
            return
        try:
            self.load_state_dict({key: state[key] for key in self.state_dict() if key in state})
        except RuntimeError as error:
            raise ModelCorruptError(f"these are not torchvision's VGG-19 weights: {error}") from None

    def forward(self, x: Tensor) -> list[Tensor]:
        return super().forward((x + 1) / 2)


class SqueezeNet(_Trunk):
    """(N, 3, H, W) RGB in [0, 1], sides multiples of 16 -> three maps of `CHANNELS` features. Padded, unlike
    torchvision's, so that sizes halve exactly; the last two blocks of eight are left out."""

    def __init__(self) -> None:
        super().__init__(squeezenet1_1(weights=None).features, (4, 7, 10))
        for layer in self.features:
            if isinstance(layer, nn.Conv2d):
                layer.padding = (1, 1)
            elif isinstance(layer, nn.MaxPool2d):
                layer.padding, layer.ceil_mode = 1, False
