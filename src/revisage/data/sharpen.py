"""The sharpened ground truth of Real-ESRGAN."""

from __future__ import annotations

import cv2
import numpy as np

KERNEL = 51  # pixels
SIGMA = 8.0  # what OpenCV takes for a kernel of that length
THRESHOLD = 10 / 255  # detail fainter than this is left alone: it may be noise


def sharpen(picture: np.ndarray, amount: float = 0.5) -> np.ndarray:
    """Unsharp masking of (H, W, 3) float32 in [0, 1]: detail stronger than a threshold grows by `amount`.

    Wang et al., *Real-ESRGAN*, ICCVW 2021, §3.3 ("sharpness in training"): a network that learns from
    sharpened pictures sharpens without the overshoot of sharpening its output.
    """
    detail = picture - _blur(picture)
    strong = _blur((np.abs(detail) > THRESHOLD).astype(np.float32))
    return np.clip(picture + strong * (np.clip(picture + amount * detail, 0, 1) - picture), 0, 1)


def _blur(picture: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(picture, (KERNEL, KERNEL), SIGMA, borderType=cv2.BORDER_REFLECT_101)
