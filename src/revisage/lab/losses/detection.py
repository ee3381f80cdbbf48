"""Losses of the face detector: dense predictions against dense soft targets."""

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import distance_box_iou_loss


def quality_focal(logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Cross entropy against soft targets, each cell weighted by the square of its error; a sum, not a mean.
    `logits`, `target` (in [0, 1]) and `weight` share one shape. Equation 3 of Li et al., *Generalized Focal
    Loss*, NeurIPS 2020, with beta = 2."""
    error = (target - logits.detach().sigmoid()).square()
    loss = error * F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return (loss if weight is None else loss * weight).sum()


def box_iou_distance(predicted: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Sum of weight x (1 - IoU + normalised squared centre distance) over cells; boxes (..., 4) as (dx, dy,
    log w, log h) of one common cell, `weight` (...). Zheng et al., *Distance-IoU Loss*, AAAI 2020, eq. 7."""
    corners = []
    for boxes in (predicted, target):
        sizes = boxes[..., 2:].clamp(max=8).exp()
        corners.append(torch.cat((boxes[..., :2] - sizes / 2, boxes[..., :2] + sizes / 2), dim=-1))
    return (distance_box_iou_loss(*corners) * weight).sum()


def box_smooth_l1(predicted: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Sum of weight x smooth L1 between (..., 4) boxes; it still pulls where boxes do not overlap at all."""
    loss = F.smooth_l1_loss(predicted, target, reduction="none", beta=0.1).sum(-1)
    return (loss * weight).sum()


def landmark_smooth_l1(predicted: Tensor, target: Tensor, size: Tensor, weight: Tensor) -> Tensor:
    """Sum of weight x smooth L1 between (..., 10) landmarks, as shares of the face's `size` (...): an error
    in pixels weighs more on a small face. NaN in `target` is left out."""
    scale = size.clamp(min=0.5).unsqueeze(-1)
    target = torch.where(target.isnan(), predicted.detach(), target)
    loss = F.smooth_l1_loss(predicted / scale, target / scale, reduction="none", beta=0.05).sum(-1)
    return (loss * weight).sum()
