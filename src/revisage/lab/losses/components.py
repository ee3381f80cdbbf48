"""The parts of a face that have a discriminator of their own, and their crops."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import roi_align


@dataclass(frozen=True)
class Component:
    """One part of the face."""

    name: str
    """As it appears in the log."""
    landmarks: tuple[int, ...]
    """Of right eye, left eye, nose, right and left mouth corner: those that its centre is the mean of."""
    side: float
    """Of its square as a share of the distance between the eyes and the mouth."""


# GFP-GAN (§3.5) has the eyes and the mouth; the first of the project's documents adds the nose.
COMPONENTS = (
    Component("right_eye", (0,), 0.72),
    Component("left_eye", (1,), 0.72),
    Component("nose", (2,), 0.72),
    Component("mouth", (3, 4), 1.0),
)


def component_boxes(landmarks: Tensor, component: Component) -> Tensor:
    """Landmarks (N, 5, 2), pixel centres at whole numbers -> boxes (N, 4): x1, y1, x2, y2 from pixel edges.
    The scale is the distance from the middle of the eyes to that of the mouth, or between the eyes where that
    is longer: a turned head shortens one of the two."""
    eyes, mouth = landmarks[:, :2].mean(1), landmarks[:, 3:].mean(1)
    height = (eyes - mouth).norm(dim=1)
    width = (landmarks[:, 0] - landmarks[:, 1]).norm(dim=1)
    half = component.side * torch.maximum(height, width)[:, None] / 2
    centre = landmarks[:, list(component.landmarks)].mean(1) + 0.5
    return torch.cat((centre - half, centre + half), dim=1)


def crop_component(pictures: Tensor, landmarks: Tensor, component: Component, size: int) -> Tensor:
    """The component of every picture, by ROI align (He et al., *Mask R-CNN*, ICCV 2017, §3; GFP-GAN, §3.5):
    pictures (N, 3, S, S), landmarks (N, 5, 2) in their pixels -> (N, 3, size, size) float32."""
    boxes = component_boxes(landmarks.float(), component)
    numbers = torch.arange(len(boxes), device=boxes.device, dtype=boxes.dtype)[:, None]
    rois = torch.cat((numbers, boxes), dim=1)
    return roi_align(pictures.float(), rois, (size, size), sampling_ratio=2, aligned=True)
