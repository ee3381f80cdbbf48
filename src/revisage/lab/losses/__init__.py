"""Losses: functions of tensors, each with its equation and source. They know neither network nor data."""

from revisage.lab.losses.adversarial import (
    discriminator_logistic,
    generator_logistic,
    gradient_penalty,
    path_length,
    path_lengths,
    r1,
    wasserstein_critic,
    wasserstein_generator,
)
from revisage.lab.losses.attention import attention, gaussian_kernel, heat_map
from revisage.lab.losses.components import Component, component_boxes, crop_component
from revisage.lab.losses.detection import box_iou_distance, box_smooth_l1, landmark_smooth_l1, quality_focal
from revisage.lab.losses.identity import chord, face_features, hint, identity
from revisage.lab.losses.perceptual import feature_matching, gram, perceptual, style
from revisage.lab.losses.pixel import checkerboard, description, half, l1, laplacian, luma, pyramid

__all__ = [
    "Component",
    "attention",
    "box_iou_distance",
    "box_smooth_l1",
    "checkerboard",
    "chord",
    "component_boxes",
    "crop_component",
    "description",
    "discriminator_logistic",
    "face_features",
    "feature_matching",
    "gaussian_kernel",
    "generator_logistic",
    "gradient_penalty",
    "gram",
    "half",
    "heat_map",
    "hint",
    "identity",
    "l1",
    "landmark_smooth_l1",
    "laplacian",
    "luma",
    "path_length",
    "path_lengths",
    "perceptual",
    "pyramid",
    "quality_focal",
    "r1",
    "style",
    "wasserstein_critic",
    "wasserstein_generator",
]
