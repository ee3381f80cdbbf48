"""Colour handling on float pixels: luma and chroma apart, so that a photo keeps its own tone.

Chroma is BT.601's (B - Y, R - Y) unscaled; adding chroma to a luma never changes the luma.
"""

import cv2
import numpy as np

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  #: ITU-R BT.601 luma weights of R, G, B
GUIDE_RADIUS = 1 / 64  #: half the side of the guided filter's window, as a share of the crop's side
GUIDE_NOISE = 0.02  #: standard deviation of luma up to which its changes count as noise
FACE_BLUR = 3 / 64  #: sigma of the band in which a face keeps the photo's tone, as a share of the crop's side
SCENE_BLUR = 4  #: sigma in photo pixels of the band in which the background keeps the photo's colours
SCENE_RADIUS = 3 * SCENE_BLUR  #: pixels of context that `keep_scene` reads around each pixel


def is_neutral(pixels: np.ndarray) -> bool:
    """Whether (H, W, 3) pixels are gray throughout: three equal channels."""
    bands = (pixels[row : row + 256] for row in range(0, pixels.shape[0], 256))
    return all((band[..., 1:] == band[..., :1]).all() for band in bands)


def luma(rgb: np.ndarray) -> np.ndarray:
    """(H, W, 3) -> (H, W)."""
    return rgb @ LUMA


def gray(rgb: np.ndarray) -> np.ndarray:
    """(H, W, 3) -> the same shape with its luma in each channel."""
    return np.repeat(luma(rgb)[..., None], 3, axis=2)


def keep_face(restored: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Detail of the restored face; tone and chroma of the photo's. Both (S, S, 3) float32; the result is not
    clipped.

    The low band of the luma is the photo's: a model that takes dark skin for a faded print would change it.
    The photo's chroma is averaged locally against its noise and blocks; its edges come back along the
    restored luma, by the local linear model of chroma on luma of the guided filter (He et al., ECCV 2010).
    A toned photo keeps its tone, and lips their red.
    """
    before, after = luma(source), luma(restored)
    after += cv2.GaussianBlur(
        before - after, (0, 0), FACE_BLUR * len(after), borderType=cv2.BORDER_REFLECT_101
    )
    chroma = source - before[..., None]
    side = 2 * round(restored.shape[0] * GUIDE_RADIUS) + 1

    def mean(values: np.ndarray) -> np.ndarray:
        return cv2.blur(values, (side, side), borderType=cv2.BORDER_REFLECT_101)

    mean_luma, mean_chroma = mean(before), mean(chroma)
    variance = mean(before * before) - mean_luma * mean_luma
    covariance = mean(before[..., None] * chroma) - mean_luma[..., None] * mean_chroma
    slope = mean(covariance / (variance + GUIDE_NOISE**2)[..., None])
    return after[..., None] + mean_chroma + slope * (after - mean(after))[..., None]


def keep_scene(output: np.ndarray, source: np.ndarray, scale: int) -> np.ndarray:
    """The model's background, (h scale, w scale, 3) float32, with the low band of its chroma replaced by that
    of the photo, (h, w, 3), which the model was given.

    Fine colour comes from the model (edges sharp, noise gone), the tone from the photo.
    """
    small = output if scale == 1 else cv2.resize(output, source.shape[1::-1], interpolation=cv2.INTER_AREA)
    shift = source - small
    shift -= luma(shift)[..., None]
    size = 2 * SCENE_RADIUS + 1
    shift = cv2.GaussianBlur(shift, (size, size), SCENE_BLUR, borderType=cv2.BORDER_REPLICATE)
    if scale > 1:
        shift = cv2.resize(shift, output.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return output + shift


def match(restored: np.ndarray, base: np.ndarray, ring: np.ndarray) -> np.ndarray:
    """A smooth offset, (S, S, 3) float32, that takes `restored`, a face, to `base`, the surroundings in its
    place, where they meet; zero where the `ring`, (S, S) in [0, 1], is empty.

    The difference on the ring of the seam, carried inwards by normalised convolution (Knutsson and Westin,
    CVPR 1993): large-scale casts vanish, the face's own contrast stays.
    """
    side = 64
    weighted = np.dstack([(base - restored) * ring[..., None], ring])
    small = cv2.resize(weighted, (side, side), interpolation=cv2.INTER_AREA)
    blurred = cv2.GaussianBlur(small, (0, 0), side / 8, borderType=cv2.BORDER_CONSTANT)
    offset = blurred[..., :3] / np.maximum(blurred[..., 3:], 1e-6)
    return cv2.resize(offset, restored.shape[1::-1], interpolation=cv2.INTER_LINEAR)
