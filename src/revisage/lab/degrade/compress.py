"""JPEG compression, in memory."""

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """``image`` after one JPEG round trip at ``quality`` (1 to 100), chroma at half size as is usual."""
    eight_bit = np.rint(image * 255).astype(np.uint8)
    done, data = cv2.imencode(
        ".jpg", cv2.cvtColor(eight_bit, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    assert done
    decoded = cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    return decoded.astype(np.float32) * np.float32(1 / 255)


@dataclass(frozen=True)
class Jpeg:
    """JPEG at ``quality`` (1 to 100)."""

    quality: int

    @classmethod
    def sample(cls, rng: np.random.Generator, low: int = 30, high: int = 95) -> Self:
        return cls(int(rng.integers(low, high + 1)))

    def apply(self, image: np.ndarray) -> np.ndarray:
        return jpeg(image, self.quality)
