"""Fixed filters of pictures, in networks and before losses."""

import math
from functools import cache

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

BINOMIAL = (0.0625, 0.25, 0.375, 0.25, 0.0625)
_BLOCKLESS = (0.125, 0.25, 0.25, 0.25, 0.125)
# Zero at periods of 2 and 4 pixels, and so for every pattern that repeats with the blocks of a stem of 4: a
# loss behind it cannot be lowered by one. 0.9 or more at periods from 8 pixels on.
STEMLESS = tuple(np.convolve(_BLOCKLESS, (-0.25, 0, 1.5, 0, -0.25)).tolist())

# Nearly a Gaussian of 2 pixels, zero at periods of 2 and 4; a fortieth at 5, the longest of dots of colour.
SOFT = tuple(np.convolve(_BLOCKLESS, cv2.getGaussianKernel(9, 1.6)[:, 0]).tolist())


@cache
def _matrix(line: tuple[float, ...], size: int, shrink: int) -> Tensor:
    """(size, size / shrink): what a row of pixels is multiplied by to be filtered and averaged."""
    rows = cv2.filter2D(np.eye(size, dtype=np.float32), -1, np.array([line]), borderType=cv2.BORDER_REPLICATE)
    return torch.from_numpy(rows).unflatten(1, (-1, shrink)).mean(2)


def smoothed(x: Tensor, line: tuple[float, ...], shrink: int = 1) -> Tensor:
    """As `separable`, then the mean of each square of `shrink` pixels. Products with a matrix for each side:
    a training does these several times as fast on a CPU."""
    down, across = (_matrix(line, length, shrink).to(x.device) for length in x.shape[2:])
    return down.mT @ (x.contiguous() @ across)


def separable(x: Tensor, line: Tensor) -> Tensor:
    """(N, C, H, W) filtered by `line` (k,) along both sides, the edges repeated."""
    reach, channels = len(line) // 2, x.shape[1]
    kernel = line.to(x.dtype).expand(channels, 1, -1)
    x = F.pad(x, (reach,) * 4, mode="replicate")
    x = F.conv2d(x, kernel[:, :, None], groups=channels)
    return F.conv2d(x, kernel[..., None], groups=channels)


def luma(picture: Tensor) -> Tensor:
    """(N, 3, H, W) RGB -> gray, (N, 1, H, W) (ITU-R BT.601)."""
    return (picture * picture.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)


def smooth_colour(picture: Tensor) -> Tensor:
    """(N, 3, H, W) RGB with its gray as it is and what differs from that smoothed: eyes hardly see colour so
    fine (of faces256 46.7 dB stay)."""
    gray = luma(picture)
    return gray + separable(picture - gray, picture.new_tensor(SOFT))


# A face's details up to some 5 pixels beside those up to 8 (both of gray, around each place): the median of
# faces256. What comes out of a face network has 0.57, whatever went in.
_NATURAL = 0.88
_FAINT = 1e-5  # squared; what is hardly there is not sharpened


def sharpened(picture: Tensor) -> Tensor:
    """(N, 3, H, W) RGB in [-1, 1], sides multiples of 8, with its finest details at most doubled, so that
    beside the coarser ones around them they are as strong as in photographs.

    What is left of the doubt about fine details, after a loss on pixels, is softness: here it is undone where
    it is, by unsharp masking, and a clear picture stays as it is.
    """
    gray = luma(picture)
    near, far = (cv2.getGaussianKernel(2 * reach + 1, sigma)[:, 0] for reach, sigma in ((3, 1), (5, 1.73)))
    # One kernel, for a difference of two nearly equal pictures is lost in 16 bits.
    finest = -np.outer(near, near)
    finest[3, 3] += 1
    kernel = gray.new_tensor(finest)[None, None]
    fine = F.conv2d(F.pad(gray, (3,) * 4, mode="replicate"), kernel)
    rest = gray - fine
    coarse = rest - separable(rest, gray.new_tensor(far))
    strength = F.avg_pool2d(torch.cat((fine, coarse), dim=1) ** 2, 8)
    ours, others = F.avg_pool2d(strength, 3, 1, 1, count_include_pad=False).chunk(2, dim=1)
    ratio = torch.sqrt((ours + _NATURAL**2 * _FAINT) / (others + _FAINT))
    gain = F.interpolate((_NATURAL / ratio - 1).clamp(0, 1), scale_factor=8, mode="bilinear")
    return picture + gain * fine


# Of 60 faces of faces256 in [-1, 1], cosine transform of blocks of 4 pixels, within a factor of 1.7.
_MEAN, _AMPLITUDE, _SLOPE = 0.6, 0.0052, -1.8


class FrequencyBands(nn.Module):
    """The cosine transform of every block, each coefficient divided by its usual size in photos (in [-1, 1]),
    then compressed by the inverse hyperbolic sine, as edges and noise are many times as large.

    A photo's amplitudes fall with frequency, so what tells a sharp photo from a soft one is a hundredth of
    what a discriminator's first layer sees, and is learnt last (Gal et al., *SWAGAN*, SIGGRAPH 2021; Schwarz
    et al., *On the Frequency Bias of Generative Models*, NeurIPS 2021; `tests/test_dct.py`). `power` under 1
    divides by less, so that coarse bands stay the louder ones (0.5 halves the slope): divided in full, nearly
    all of what a critic tells is about the finest octave, which makes dots and serrated edges.

    forward: (N, 3, H, W) -> (N, 3 block^2, H / stride, W / stride). With stride = block the blocks lie side
    by side; with stride = 1 there is one for each pixel, the last ones over a repeated edge.
    """

    filters: Tensor

    def __init__(self, block: int, stride: int, power: float = 1.0) -> None:
        super().__init__()
        self.block, self.stride = block, stride
        sizes = _sizes(block)
        sizes = sizes[0] * (sizes / sizes[0]) ** power  # the mean stays as it is
        self.register_buffer("filters", (_cosines(block) / sizes).repeat(3, 1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.stride == 1:
            x = F.pad(x, (0, self.block - 1, 0, self.block - 1), mode="replicate")
        return torch.asinh(F.conv2d(x, self.filters.to(x.dtype), stride=self.stride, groups=3))


def _cosines(block: int) -> Tensor:
    """(block^2, 1, block, block): the orthonormal cosine transform (DCT-II) as filters."""
    k = torch.arange(block, dtype=torch.float64)
    basis = torch.cos(math.pi * (2 * k[None] + 1) * k[:, None] / (2 * block)) * math.sqrt(2 / block)
    basis[0] /= math.sqrt(2)
    return torch.einsum("uy,vx->uvyx", basis, basis).reshape(-1, 1, block, block).float()


def _sizes(block: int) -> Tensor:
    """(block^2, 1, 1, 1): the coefficients' usual sizes, as a law of the frequency."""
    k = torch.arange(block, dtype=torch.float32) / (2 * block)  # cycles a pixel
    frequency = torch.hypot(k[:, None], k[None]).reshape(-1, 1, 1, 1)
    sizes = _AMPLITUDE * frequency**_SLOPE
    sizes[0] = _MEAN * block
    return sizes
