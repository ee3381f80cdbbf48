"""Logarithm of the squared error of each picture: training for PSNR as it is measured.

Source: Chen et al., *HINet*, CVPRW 2021, equation 1 (the "PSNR loss").
"""

from __future__ import annotations

from torch import Tensor

FLOOR = 1e-4  # mean squared error of 40 dB: below it a picture is good and pulls no harder


def log_mse(picture: Tensor, target: Tensor) -> Tensor:
    """Mean over the batch of log10(MSE), which is minus a tenth of the PSNR; (N, 3, H, W) in [0, 1] -> ().

    Mild and heavy damage weigh the same, while under a plain mean the heavy cases decide.
    """
    error = (picture.float() - target).square().mean(dim=(1, 2, 3))
    return (error + FLOOR).log10().mean()
