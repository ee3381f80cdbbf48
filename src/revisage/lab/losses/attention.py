"""Landmark attention: errors around the landmarks of a face count once more (Kim et al., *Progressive Face
Super-Resolution via Attention to Facial Landmark*, BMVC 2019, §3.3, eq. 5)."""

import torch
import torch.nn.functional as F
from torch import Tensor

KERNEL = 5
SIGMA = 1.0
"""In pixels; the document names the kernel's side only."""


def gaussian_kernel() -> Tensor:
    """(5, 5) float32, sums to 1."""
    axis = torch.arange(KERNEL, dtype=torch.float32) - KERNEL // 2
    bell = torch.exp(-axis.square() / (2 * SIGMA**2))
    kernel = bell[:, None] * bell[None]
    return kernel / kernel.sum()


def heat_map(landmarks: Tensor, side: int) -> Tensor:
    """Landmarks (N, L, 2), x and y, pixel centres at whole numbers -> (N, 1, side, side), a Gaussian at each:
    put on the nearest pixel, 1 in all, less where the border cuts it. Those outside or NaN (no face) are left
    out."""
    n = len(landmarks)
    inside = ((landmarks > -0.5) & (landmarks < side - 0.5)).all(-1)  # False for NaN
    place = torch.where(inside[..., None], landmarks, 0).round().long()
    points = torch.zeros(n, side * side, device=landmarks.device)
    points.scatter_add_(1, place[..., 1] * side + place[..., 0], inside.float())
    kernel = gaussian_kernel().to(landmarks.device)[None, None]
    return F.conv2d(points.view(n, 1, side, side), kernel, padding=KERNEL // 2)


def attention(fake: Tensor, real: Tensor, landmarks: Tensor) -> Tensor:
    """L = 1 / (N L) sum over pictures and landmarks of (|fake - real| * h)[x, y], h the 5x5 Gaussian; in
    float32. fake, real (N, C, S, S), landmarks (N, L, 2) in their pixels; over the channels the mean."""
    with torch.autocast(fake.device.type, enabled=False):
        weights = heat_map(landmarks.float(), fake.shape[-1])
        error = (fake.float() - real.float()).abs().mean(1, keepdim=True)
        return (error * weights).sum() / (len(fake) * landmarks.shape[1])
