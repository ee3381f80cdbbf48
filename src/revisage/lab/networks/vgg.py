"""VGG-19 as a fixed extractor of features before activation, for the perceptual and the style loss.

Source: Simonyan and Zisserman, *Very Deep Convolutional Networks*, ICLR 2015, configuration E; features
before activation after Wang et al., *ESRGAN*, ECCVW 2018, §3.2.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from revisage.errors import ModelCorruptError, UsageError

# width, convolutions; pooling halves the picture after each stage
_STAGES = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))
PERCEPTUAL_LAYERS = ("conv1_2", "conv2_2", "conv3_4", "conv4_4", "conv5_4")


def _layers() -> tuple[list[nn.Module], dict[str, int]]:
    """The layers, numbered as torchvision's `vgg19().features`, and where among them each convolution is."""
    layers: list[nn.Module] = []
    positions = {}
    cin = 3
    for stage, (width, count) in enumerate(_STAGES, start=1):
        for k in range(1, count + 1):
            positions[f"conv{stage}_{k}"] = len(layers)
            # No ReLU in place: it would overwrite the features before activation.
            layers += [nn.Conv2d(cin, width, 3, padding=1), nn.ReLU()]
            cin = width
        layers.append(nn.MaxPool2d(2))
    return layers, positions


class VGG19Features(nn.Module):
    """(N, 3, H, W) RGB in [-1, 1], 16 px or more a side -> one feature map a layer, before its activation.

    `layers` names convolutions, "conv1_1" to "conv5_4" (stage _ place in it); the maps come in that order:
    stage k is at 1 / 2^(k-1) of the picture's size. ImageNet's mean and deviation are taken out inside. The
    weights are fixed (gradients reach the picture only), and random until `load_published`.

    Raises UsageError for a layer that VGG-19 does not have.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, layers: Sequence[str] = PERCEPTUAL_LAYERS) -> None:
        super().__init__()
        all_layers, positions = _layers()
        unknown = [name for name in layers if name not in positions]
        if unknown or not layers:
            raise UsageError(f"VGG-19 has no layer {unknown or 'given'}; it has {', '.join(positions)}")
        self._taps = [positions[name] for name in layers]
        self.features = nn.Sequential(*all_layers[: max(self._taps) + 1])
        for layer in self.features:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        self.register_buffer("mean", torch.tensor((0.485, 0.456, 0.406)).view(1, 3, 1, 1), persistent=False)
        self.register_buffer(
            "deviation", torch.tensor((0.229, 0.224, 0.225)).view(1, 3, 1, 1), persistent=False
        )
        self.requires_grad_(False)

    def load_published(self, state: Mapping[str, Tensor]) -> None:
        """Take the weights needed from torchvision's state dict of VGG-19.

        Raises ModelCorruptError when one is missing or has another shape.
        """
        wanted = {key: state[key] for key in self.state_dict() if key in state}
        try:
            self.load_state_dict(wanted)
        except RuntimeError as error:
            raise ModelCorruptError(f"these are not torchvision's VGG-19 weights: {error}") from None

    def forward(self, x: Tensor) -> list[Tensor]:
        y = ((x + 1) / 2 - self.mean) / self.deviation
        maps = {}
        for i, layer in enumerate(self.features):
            y = layer(y)
            if i in self._taps:
                maps[i] = y
        return [maps[i] for i in self._taps]
