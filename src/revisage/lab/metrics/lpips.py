"""Learned perceptual image patch similarity."""

import re
import warnings
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from revisage.errors import ModelCorruptError
from revisage.lab.metrics.weights import fill, read_state

Backbone = Literal["alex", "vgg", "squeeze"]
Distance = Callable[[Tensor, Tensor], Tensor]


def open_lpips(net: Backbone, path: Path) -> Distance:
    """LPIPS 0.1 with torchvision's weights at `path`: two (N, 3, H, W) in [0, 1] -> (N,), 0 for equal ones.
    Raises ModelCorruptError when the file is not the backbone's state dict.

    Zhang et al., *The Unreasonable Effectiveness of Deep Features as a Perceptual Metric*, CVPR 2018, eq. 1,
    as torchmetrics has it, which also carries the published linear layers. Pictures at their own size.
    """
    network = _opened(net, path)

    def distance(fake: Tensor, real: Tensor) -> Tensor:
        network.to(fake.device)
        pictures = (p.contiguous(memory_format=torch.channels_last) for p in (fake, real))
        return network(*pictures, normalize=True).flatten()

    return distance


def open_features(net: Backbone, path: Path) -> Callable[[Tensor], Tensor]:
    """(N, 3, H, W) in [0, 1] -> (N, C): means over places of the last features that LPIPS looks at."""
    network = _opened(net, path)

    def features(pictures: Tensor) -> Tensor:
        return network.net(network.scaling_layer(pictures * 2 - 1))[-1].mean((2, 3))

    return features


def _opened(net: Backbone, path: Path) -> Any:
    """torchmetrics' network with torchvision's weights."""
    # The public class would fetch its backbone by itself, unchecked; this one takes it from outside.
    from torchmetrics.functional.image.lpips import _LPIPS

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it calls torchvision by an old name
        network = _LPIPS(net=net, pnet_rand=True)
    published = read_state(path)
    state = network.state_dict()
    for key in state:
        if key.startswith("net."):
            # net.slice2.3.weight or net.slices.1.3.weight is torchvision's features.3.weight.
            name = re.sub(r"^net\.slices?\.?\d+\.", "features.", key)
            if name not in published:
                raise ModelCorruptError(f"{path} is not torchvision's {net} network: it has no {name}")
            state[key] = published[name]
    return fill(network, state, path).to(memory_format=torch.channels_last)


def linear_layers(net: Backbone) -> Path:
    """The file of the published linear layers inside torchmetrics."""
    folder = resources.files("torchmetrics.functional.image") / "lpips_models"
    return Path(str(folder / f"{net}.pth"))
