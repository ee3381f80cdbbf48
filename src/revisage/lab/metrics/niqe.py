"""Natural image quality evaluator: how far a picture's statistics are from those of pristine photos."""

import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from revisage.errors import ModelCorruptError

BLOCK = 96
LEAST = 2 * BLOCK  # pixels a side: fewer than four blocks make no covariance to speak of
_SHIFTS = ((0, 1), (1, 0), (1, 1), (1, -1))
# MATLAB's imresize by 1/2: Keys' cubic (a = -1/2) stretched to two pixels, at ±¼, ±¾, ±1¼ and ±1¾.
_HALF = (-3, -9, 29, 111, 111, 29, -9, -3)


@dataclass(frozen=True)
class PristineModel:
    """Gaussian of the features of pristine photos: mean (36,), covariance (36, 36); window (7, 7)."""

    mean: Tensor
    covariance: Tensor
    window: Tensor


def read_pristine(path: Path) -> PristineModel:
    """The published model, `niqe_pris_params.npz`; raises ModelCorruptError for another file."""
    try:
        with np.load(path, allow_pickle=False) as file:
            mean, covariance, window = (
                torch.from_numpy(np.asarray(file[key], dtype=np.float64))
                for key in ("mu_pris_param", "cov_pris_param", "gaussian_window")
            )
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ModelCorruptError(f"{path} is not NIQE's pristine model: {error}") from None
    if mean.numel() != 36 or covariance.shape != (36, 36) or window.shape != (7, 7):
        raise ModelCorruptError(f"{path} is not NIQE's pristine model: its arrays have other shapes")
    return PristineModel(mean.flatten(), covariance, window)


def niqe(pictures: Tensor, model: PristineModel) -> Tensor:
    """NIQE of (N, 3, H, W) RGB in [0, 1], 192 px or more a side -> (N,) float64; lower is more natural.

    Mittal et al., *Making a "completely blind" image quality analyzer*, 2013, eq. 10, as the authors'
    published code computes it: luma of ITU-R BT.601 from 8-bit RGB, rounded; every 96x96 block that fits,
    from the top left corner; a second scale at half the size. NaN where fewer than two blocks have any
    statistics, as in a picture of one colour.
    """
    rgb = (pictures.double().cpu().clamp(0, 1) * 255).round()
    # In whole numbers, so that a half is always rounded up and never by chance.
    thousandths = (rgb * torch.tensor((299.0, 587.0, 114.0), dtype=torch.float64).view(3, 1, 1)).sum(1)
    luma = torch.floor((thousandths + 500) / 1000)
    return torch.stack([_distance(one, model) for one in luma])


def features(luma: Tensor, window: Tensor) -> Tensor:
    """(H, W) float64 in 0..255 -> (blocks, 36): 18 statistics at each of two scales."""
    h, w = (side // BLOCK * BLOCK for side in luma.shape)
    whole = luma[:h, :w].numpy()
    scales = (whole, BLOCK), (_half(whole), BLOCK // 2)
    return torch.cat([_block_features(_mscn(p, window.numpy()), side) for p, side in scales], dim=1)


def _distance(luma: Tensor, model: PristineModel) -> Tensor:
    found = features(luma, model.window)
    mean = found.nanmean(0)
    found = found[~found.isnan().any(1)]
    if len(found) < 2:
        return torch.tensor(torch.nan, dtype=torch.float64)
    difference = model.mean - mean
    inverse = torch.linalg.pinv((model.covariance + found.T.cov()) / 2, hermitian=True)
    return (difference @ inverse @ difference).clamp(min=0).sqrt()


def _mscn(luma: np.ndarray, window: np.ndarray) -> Tensor:
    """Mean-subtracted, contrast-normalised coefficients (eq. 1): (H, W) -> (H, W)."""

    def smooth(x: np.ndarray) -> np.ndarray:
        return cv2.filter2D(x, -1, window, borderType=cv2.BORDER_REPLICATE)

    mean = smooth(luma)
    deviation = np.sqrt(np.abs(smooth(luma * luma) - mean * mean))
    return torch.from_numpy((luma - mean) / (deviation + 1))


def _half(luma: np.ndarray) -> np.ndarray:
    """MATLAB's `imresize(x, 0.5)`, bicubic with antialiasing, mirrored at the edges; sides must be even."""
    kernel = np.array(_HALF) / 256
    smooth = cv2.sepFilter2D(luma, -1, kernel, kernel, anchor=(3, 3), borderType=cv2.BORDER_REFLECT)
    return np.ascontiguousarray(smooth[::2, ::2])


def _block_features(mscn: Tensor, side: int) -> Tensor:
    """(H, W) -> (blocks, 18): shape and scale of the coefficients, then of four products of neighbours."""
    h, w = mscn.shape
    blocks = mscn.reshape(h // side, side, w // side, side).transpose(1, 2).reshape(-1, side, side)
    shape, left, right, _ = _fit(blocks)
    columns = [shape, (left + right) / 2]
    for shift in _SHIFTS:
        # A block's neighbours wrap around within the block, as in the published code.
        shape, left, right, ratio = _fit(blocks * torch.roll(blocks, shift, dims=(1, 2)))
        columns += [shape, (right - left) * ratio, left, right]
    return torch.stack(columns, dim=1)


def _fit(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Asymmetric generalised Gaussian of each block by moments (Lasmar et al., ICIP 2009). (blocks, side,
    side) -> shape α, left and right scale β, and Γ(2/α) / Γ(1/α), each (blocks,)."""
    below = x.clamp(max=0)
    squares, below_squares = (torch.linalg.vector_norm(y, dim=(1, 2)).square() for y in (x, below))
    left = (below_squares / (x < 0).sum((1, 2))).sqrt()
    right = ((squares - below_squares) / (x > 0).sum((1, 2))).clamp(min=0).sqrt()
    ratio = left / right
    r = (x.sum((1, 2)) - 2 * below.sum((1, 2))).square() / squares / x[0].numel()
    r = r * (ratio**3 + 1) * (ratio + 1) / (ratio**2 + 1) ** 2
    alphas, values = _shapes()
    # The nearest of a growing row of values; a NaN stays one through `left` and `right`.
    above = torch.searchsorted(values, r.nan_to_num()).clamp(1, len(values) - 1)
    nearer = (values[above] - r).abs() < (values[above - 1] - r).abs()
    alpha = alphas[torch.where(nearer, above, above - 1)]
    one, two, three = (torch.lgamma(k / alpha) for k in (1, 2, 3))
    scale = torch.exp((one - three) / 2)
    return alpha, left * scale, right * scale, torch.exp(two - one)


@cache
def _shapes() -> tuple[Tensor, Tensor]:
    """The grid of α that the published code searches, and Γ(2/α)² / (Γ(1/α) Γ(3/α)), which grows with α."""
    alphas = torch.arange(200, 10_001, dtype=torch.float64) / 1000
    one, two, three = (torch.lgamma(k / alphas) for k in (1, 2, 3))
    return alphas, torch.exp(2 * two - one - three)
