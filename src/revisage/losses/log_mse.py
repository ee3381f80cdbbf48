"""Logarithm of the squared error of each picture: training for PSNR as it is measured.

Source: Chen et al., *HINet*, CVPRW 2021, equation 1 (the "PSNR loss").
"""

from __future__ import annotations

from torch import Tensor

FLOOR = 2e-3
"""Mean squared error of 27 dB, of a photo with moderate damage. Without it the gradient of a nearly perfect
picture is several times that of a damaged one, and a network learns next to nothing about damage."""


def log_mse(picture: Tensor, target: Tensor, where: Tensor | None = None, *, floor: float = FLOOR) -> Tensor:
    """L = mean log10(MSE + floor) over the batch; (N, 3, H, W) in [0, 1] -> ().

    Under the floor this is the squared error, above it minus a tenth of the PSNR: heavy damage, of which
    little can be undone, does not decide alone.

    where: bool (N, 1, H, W), the pixels that count; pictures without any are left out, and 0 is returned when
    all are.
    """
    squared = (picture.float() - target).square().mean(dim=1, keepdim=True)
    if where is None:
        return (squared.mean(dim=(1, 2, 3)) + floor).log10().mean()
    counted = where.sum(dim=(1, 2, 3))
    error = (squared * where).sum(dim=(1, 2, 3)) / counted.clamp(min=1)
    return ((error + floor).log10() * (counted > 0)).sum() / (counted > 0).sum().clamp(min=1)
