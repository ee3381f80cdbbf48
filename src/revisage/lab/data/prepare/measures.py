"""Whether a crop is sharp, whether two crops show one photo, and how much of a crop its photo covers."""

import cv2
import numpy as np

BITS = 512  # of a fingerprint
_CELLS = 16
_FINE, _COARSE = 1.0, 3.0
_SAMPLES = 32


def sharpness(crop: np.ndarray) -> float:
    """How much detail of one pixel's size a crop has against detail of three: some 0.1 and less is blurred.
    `crop` (S, S, 3) uint8 on the FFHQ template, S at least 16, never enlarged from fewer pixels. 0 for a
    plain one.

    The variance of the scale-normalised Laplacian of Gaussian (Lindeberg, *Feature detection with automatic
    scale selection*, IJCV 1998) at sigma 1 over that at sigma 3, of the luma in the middle of the face: it
    depends neither on contrast and light nor, as spectra of pictures follow a power law, on the size.
    """
    gray = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).astype(np.float32)
    coarse = _energy(gray, _COARSE)
    return _energy(gray, _FINE) / coarse if coarse > 1e-3 else 0.0


def _energy(gray: np.ndarray, sigma: float) -> float:
    margin = gray.shape[0] // 5
    answer = sigma**2 * cv2.Laplacian(cv2.GaussianBlur(gray, (0, 0), sigma), cv2.CV_32F)
    return float(answer[margin:-margin, margin:-margin].var())


def fingerprint(crop: np.ndarray) -> bytes:
    """64 bytes of a crop (S, S, 3) uint8 that change little when its photo is resized, recompressed or toned:
    the difference hash, of a grid of 16 x 16 cells over the face whether each is brighter than its neighbours
    to the left and above. `originals` compares them."""
    margin = crop.shape[0] // 8
    gray = cv2.cvtColor(crop[margin:-margin, margin:-margin], cv2.COLOR_RGB2GRAY)
    across = cv2.resize(gray, (_CELLS + 1, _CELLS), interpolation=cv2.INTER_AREA)
    down = cv2.resize(gray, (_CELLS, _CELLS + 1), interpolation=cv2.INTER_AREA)
    bits = np.concatenate([(across[:, 1:] > across[:, :-1]).ravel(), (down[1:] > down[:-1]).ravel()])
    return np.packbits(bits).tobytes()


def originals(prints: list[bytes], near: int, block: int = 1024) -> list[int]:
    """For each fingerprint the index of the one it repeats (the first before it that repeats none itself and
    differs in at most `near` of the 512 bits), or its own. Photos of one person differ in 100 and more,
    copies in some 30."""
    bits = np.unpackbits(np.frombuffer(b"".join(prints), np.uint8).reshape(-1, BITS // 8), axis=1)
    signs = bits.astype(np.float32) * 2 - 1
    first = np.arange(len(prints))
    for start in range(0, len(prints), block):
        rows = signs[start : start + block]
        distances = (BITS - rows @ signs[: start + len(rows)].T) / 2  # whole numbers, exact in float32
        for offset, row in enumerate(distances):
            index = start + offset
            same = np.flatnonzero((row[:index] <= near) & (first[:index] == np.arange(index)))
            if len(same):
                first[index] = same[0]
    return [int(index) for index in first]


def coverage(inverse: np.ndarray, size: int, width: int, height: int) -> float:
    """The share of a crop of `size` x `size` that lies inside its photo of `width` x `height`, counted at 32
    x 32 points; `inverse` (2, 3) from crop to photo."""
    places = (np.arange(_SAMPLES) + 0.5) * (size / _SAMPLES) - 0.5
    x, y = np.meshgrid(places, places)
    points = np.stack([x.ravel(), y.ravel()], 1) @ inverse[:, :2].T + inverse[:, 2]
    inside = (points >= -0.5) & (points <= np.array([width, height]) - 0.5)
    return float(inside.all(1).mean())
