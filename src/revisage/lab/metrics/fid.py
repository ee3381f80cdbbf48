"""Inception features, which the Fréchet Inception distance (FID) and KID compare."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from revisage.errors import ModelCorruptError
from revisage.lab.metrics.weights import read_state


def open_inception(path: Path) -> Callable[[Tensor], Tensor]:
    """(N, 3, H, W) in [0, 1] -> (N, 2048) features of the last pooling, from torch-fidelity's weights.

    Heusel et al., *GANs Trained by a Two Time-Scale Update Rule*, NeurIPS 2017: the network and the
    bilinear resizing to 299 px of the first FID, from TensorFlow 1, on 8-bit pictures, as torch-fidelity
    has ported them. FID is `frechet` between these features' Gaussians.

    Raises ModelCorruptError when the file is not this network's state dict.
    """
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    read_state(path)  # says what is wrong with a file that is no checkpoint, and runs no pickled code
    try:
        network = FeatureExtractorInceptionV3(
            "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(path)
        )
    except RuntimeError as error:
        raise ModelCorruptError(
            f"{path} does not hold torch-fidelity's Inception: {' '.join(str(error).split())[:200]}"
        ) from None
    network.eval().requires_grad_(False)

    def features(pictures: Tensor) -> Tensor:
        (pooled,) = network((pictures * 255).round().to(torch.uint8))
        return pooled.float()

    return features
