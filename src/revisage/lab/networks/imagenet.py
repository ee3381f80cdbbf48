"""VGG-19 as a fixed extractor of features before activation, for the perceptual and the style loss.

Source: Simonyan and Zisserman, *Very Deep Convolutional Networks*, ICLR 2015, configuration E, as torchvision
has it; features before activation after Wang et al., *ESRGAN*, ECCVW 2018, §3.2.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torchvision.models.vgg import cfgs, make_layers

from revisage.errors import ModelCorruptError

PERCEPTUAL_LAYERS = {"conv1_2": 2, "conv2_2": 7, "conv3_4": 16, "conv4_4": 25, "conv5_4": 34}
"""Where among the layers these convolutions are (stage _ place in it)."""
IMAGENET = {
    "mean": torch.tensor((0.485, 0.456, 0.406)).view(1, 3, 1, 1),
    "deviation": torch.tensor((0.229, 0.224, 0.225)).view(1, 3, 1, 1),
}
"""Of the pictures that torchvision's networks were trained on, RGB in [0, 1]."""


class VGG19Features(nn.Module):
    """(N, 3, H, W) RGB in [-1, 1], 16 px or more a side -> a feature map of each of `PERCEPTUAL_LAYERS`.

    They are of before its activation: stage k is at 1 / 2^(k-1) of the picture's size. ImageNet's mean and
    deviation are taken out inside. The weights are fixed (gradients reach the picture only): those needed of
    `state`, torchvision's state dict of VGG-19; random without it.

    Raises ModelCorruptError when a weight is missing or has another shape.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, state: Mapping[str, Tensor] | None = None) -> None:
        super().__init__()
        self.features = make_layers(cfgs["E"])[: max(PERCEPTUAL_LAYERS.values()) + 1]
        for layer in self.features:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            elif isinstance(layer, nn.ReLU):
                layer.inplace = False  # it would overwrite the features before activation
        for name, values in IMAGENET.items():
            self.register_buffer(name, values.clone(), persistent=False)
        self.requires_grad_(False)
        if state is None:
            return
        try:
            self.load_state_dict({key: state[key] for key in self.state_dict() if key in state})
        except RuntimeError as error:
            raise ModelCorruptError(f"these are not torchvision's VGG-19 weights: {error}") from None

    def forward(self, x: Tensor) -> list[Tensor]:
        y, maps = ((x + 1) / 2 - self.mean) / self.deviation, []
        for i, layer in enumerate(self.features):
            y = layer(y)
            if i in PERCEPTUAL_LAYERS.values():
                maps.append(y)
        return maps
