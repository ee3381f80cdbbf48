"""What people of the nineteenth century wear on their faces and heads: beards, hats, bonnets, glasses."""

import cv2
import numpy as np

Point = tuple[float, float]


def wear(crop: np.ndarray, landmarks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A copy of an aligned crop (S, S, 3) uint8 with one or two of them; landmarks (5, 2) in its pixels."""
    crop = crop.copy()
    kinds = (_beard, _hat, _bonnet, _glasses)
    for kind in rng.permutation(len(kinds))[: rng.integers(1, 3)]:
        kinds[kind](crop, landmarks, rng)
    return crop


def _beard(crop: np.ndarray, landmarks: np.ndarray, rng: np.random.Generator) -> None:
    """Whiskers below the mouth, most with a moustache, which hides the lips."""
    apart, mouth, nose = _apart(landmarks), landmarks[3:].mean(0), landmarks[2]
    mask, long = np.zeros(crop.shape[:2], np.float32), apart * rng.uniform(0.5, 1.3)
    if rng.random() < 0.8:
        _ellipse(mask, (mouth[0], mouth[1] + 0.8 * long), (apart * rng.uniform(0.55, 1.0), long), 1.0)
        if rng.random() < 0.6:
            _ellipse(mask, mouth, (apart * 0.35, apart * rng.uniform(0.06, 0.14)), 0.0)
    if rng.random() < 0.8:
        _ellipse(mask, 0.45 * nose + 0.55 * mouth, apart * rng.uniform((0.35, 0.1), (0.7, 0.2)), 1.0)
    _lay(crop, mask, _hair(crop.shape[0], rng), rng.uniform(0.75, 1.0), 0.03 * apart)


def _hat(crop: np.ndarray, landmarks: np.ndarray, rng: np.random.Generator) -> None:
    """A brim across the forehead, and what stands on it up to the picture's edge and beyond."""
    apart, eyes = _apart(landmarks), landmarks[:2].mean(0)
    mask, top = np.zeros(crop.shape[:2], np.float32), eyes[1] - apart * rng.uniform(0.55, 1.1)
    wide, flare = apart * rng.uniform(0.85, 1.25), rng.uniform(0.75, 1.2)
    high = apart * rng.uniform(0.6, 2.5)
    crown = [(-wide, 0), (wide, 0), (wide * flare, -high), (-wide * flare, -high)]
    cv2.fillPoly(mask, [np.int32(np.add(crown, (eyes[0], top)))], 1.0)
    if rng.random() < 0.8:
        _ellipse(mask, (eyes[0], top), apart * rng.uniform((1.2, 0.12), (2.3, 0.4)), 1.0)
    _lay(crop, mask, _cloth(crop.shape[0], rng), rng.uniform(0.9, 1.0), 0.02 * apart)


def _bonnet(crop: np.ndarray, landmarks: np.ndarray, rng: np.random.Generator) -> None:
    """Cloth all around the face, as of a bonnet, hood or veil; hair, as well."""
    apart, middle = _apart(landmarks), landmarks.mean(0)
    mask = np.zeros(crop.shape[:2], np.float32)
    inner = apart * rng.uniform((0.95, 1.35), (1.25, 1.7))
    _ellipse(mask, middle, inner + apart * rng.uniform(0.25, 1.0), 1.0)
    _ellipse(mask, np.add(middle, (0, apart * rng.uniform(0, 0.4))), inner, 0.0)
    _lay(crop, mask, _cloth(crop.shape[0], rng), rng.uniform(0.8, 1.0), 0.04 * apart)


def _glasses(crop: np.ndarray, landmarks: np.ndarray, rng: np.random.Generator) -> None:
    apart = _apart(landmarks)
    mask, size = np.zeros(crop.shape[:2], np.float32), apart * rng.uniform((0.3, 0.25), (0.45, 0.4))
    thick = max(1, round(apart * rng.uniform(0.02, 0.08)))
    if rng.random() < 0.2:
        thick = -1
    for eye in landmarks[:2]:
        _ellipse(mask, eye, size, 1.0, thick)
    ends = [np.int32(np.round(landmarks[side] + ((1, -1)[side] * size[0], 0))) for side in (0, 1)]
    cv2.line(mask, ends[0].tolist(), ends[1].tolist(), 1.0, max(1, thick))
    _lay(
        crop, mask, np.full((1, 1, 3), rng.choice([20.0, 40.0, 200.0]), np.float32), rng.uniform(0.6, 1), 0.5
    )


def _apart(landmarks: np.ndarray) -> float:
    return float(np.hypot(*(landmarks[1] - landmarks[0])))


def _ellipse(
    mask: np.ndarray, middle: Point | np.ndarray, axes: Point | np.ndarray, value: float, thick: int = -1
) -> None:
    centre, size = (tuple(round(float(v)) for v in pair) for pair in (middle, axes))
    cv2.ellipse(mask, centre, size, 0, 0, 360, value, thick, cv2.LINE_AA)


def _hair(size: int, rng: np.random.Generator) -> np.ndarray:
    """(size, size, 3): strands that run down, of any tone from black to white."""
    strands = rng.normal(0, 1, (max(2, size // int(rng.integers(8, 24))), size)).astype(np.float32)
    tone = rng.uniform(15, 230) * np.array([1.0, rng.uniform(0.85, 1.0), rng.uniform(0.7, 1.0)])
    return tone + rng.uniform(5, 35) * cv2.resize(strands, (size, size))[..., None]


def _cloth(size: int, rng: np.random.Generator) -> np.ndarray:
    """(size, size, 3): felt, straw or linen with soft folds."""
    folds = rng.normal(0, 1, (int(rng.integers(2, 6)), int(rng.integers(2, 12)))).astype(np.float32)
    tone = rng.choice([rng.uniform(10, 70), rng.uniform(70, 245)]) + rng.normal(0, 10, 3)
    shade = cv2.resize(folds, (size, size), interpolation=cv2.INTER_CUBIC)[..., None] * rng.uniform(3, 25)
    return tone + shade + rng.normal(0, rng.uniform(0, 8), (size, size, 1))


def _lay(crop: np.ndarray, mask: np.ndarray, over: np.ndarray, share: float, soft: float) -> None:
    """Lay `over` on the crop, in place, where the mask is, with a rim as soft as so many pixels."""
    alpha = share * cv2.GaussianBlur(mask, (0, 0), max(0.4, soft))[..., None]
    crop[:] = np.clip(crop + alpha * (over - crop), 0, 255).astype(np.uint8)
