"""The sharpened ground truth of Real-ESRGAN."""

import cv2
import numpy as np

SIGMA = 8.0  # pixels; what OpenCV takes for the published kernel, 51 pixels long
REACH = 25 / SIGMA  # deviations that half of that kernel has room for
THRESHOLD = 10 / 255  # detail fainter than this is left alone: it may be noise


def sharpen(picture: np.ndarray, amount: float = 0.5, sigma: float = SIGMA) -> np.ndarray:
    """Unsharp masking of (H, W, 3) float32 in [0, 1]: detail stronger than a threshold grows by `amount`.

    Detail is what a Gaussian of `sigma` pixels takes away.

    Wang et al., *Real-ESRGAN*, ICCVW 2021, §3.3 ("sharpness in training"): a network that learns from
    sharpened pictures sharpens without the overshoot of sharpening its output.
    """
    detail = picture - _blur(picture, sigma)
    strong = _blur((np.abs(detail) > THRESHOLD).astype(np.float32), sigma)
    return np.clip(picture + strong * (np.clip(picture + amount * detail, 0, 1) - picture), 0, 1)


def _blur(picture: np.ndarray, sigma: float) -> np.ndarray:
    side = 2 * round(REACH * sigma) + 1
    return cv2.GaussianBlur(picture, (side, side), sigma, borderType=cv2.BORDER_REFLECT_101)
