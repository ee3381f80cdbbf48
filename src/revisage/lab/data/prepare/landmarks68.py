"""The 68 landmarks of the landmark attention, and who finds them: the five-point estimate, dlib, FAN.

Points are numbered as iBUG's 300-W has them (Sagonas et al., ICCVW 2013): 0-16 the outline from the person's
right ear over the chin to the left, 17-26 the brows, 27-35 the nose, 36-47 the eyes, 48-67 the mouth. x, y in
pixels of the picture, pixel centres at whole numbers.
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from revisage import zoo
from revisage.errors import FaceError, ModelCorruptError, RuntimeUnavailableError, UsageError
from revisage.faces import Detector, Face, align, estimate, invert, template

COUNT = 68
MIRRORED = (
    *range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1), 45, 44, 43, 42, 47, 46,
    39, 38, 37, 36, 41, 40, *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), *range(67, 64, -1),
)  # fmt: skip
"""What each point is called once left and right are exchanged."""

FindsLandmarks = Callable[[np.ndarray], np.ndarray | None]
"""(H, W, 3) RGB uint8 -> (68, 2) float32 of its largest face; None without one. Called from threads."""

# The person's right half of a mean face, and its middle, on the FFHQ template at 512 px (mirrored at x 256):
# medians of what dlib's predictor finds in 424 aligned pictures of LFW and their mirror images.
_RIGHT = {
    0: (116, 248), 1: (119, 284), 2: (123, 320), 3: (129, 356), 4: (140, 390), 5: (161, 420),
    6: (188, 444), 7: (220, 464), 17: (145, 221), 18: (162, 205), 19: (185, 200), 20: (210, 203),
    21: (233, 212), 31: (229, 324), 32: (242, 329), 36: (173, 244), 37: (188, 236), 38: (205, 236),
    39: (220, 246), 40: (204, 249), 41: (187, 249), 48: (203, 371), 49: (221, 361), 50: (241, 357),
    58: (240, 398), 59: (221, 390), 60: (211, 372), 61: (241, 368), 67: (240, 381),
}  # fmt: skip
_MIDDLE = {8: 470, 27: 238, 28: 261, 29: 284, 30: 307, 33: 333, 51: 360, 57: 400, 62: 369, 66: 383}


def template68(size: int) -> np.ndarray:
    """(68, 2) float32: the landmarks of a mean face in a crop of `size` pixels on the FFHQ template."""
    points = np.zeros((COUNT, 2))
    for i, (x, y) in _RIGHT.items():
        points[i], points[MIRRORED[i]] = (x, y), (512 - x, y)
    for i, y in _MIDDLE.items():
        points[i] = 256, y
    return (points * (size / 512)).astype(np.float32)


def estimate68(five: np.ndarray) -> np.ndarray:
    """(5, 2) landmarks -> (68, 2) float32: the mean face brought onto them by an affine map, least squares.
    It follows place, size, turn and foreshortening, but not an open mouth, a raised brow or this face's
    outline."""
    source = np.column_stack((template(512).astype(np.float64), np.ones(5)))
    affine, *_ = np.linalg.lstsq(source, np.asarray(five, np.float64), rcond=None)
    mean = np.column_stack((template68(512).astype(np.float64), np.ones(COUNT)))
    return (mean @ affine).astype(np.float32)


NAMES = ("estimate", "dlib", "fan")

# dlib's predictor was trained on the boxes of dlib's own detector. On the FFHQ template at 512 px their
# median is this one (84 pictures of LFW; standard deviation 17 to 20 px).
_DLIB_BOX = (103.0, 147.0, 398.0, 442.0)
_DLIB_SIDE = 512

_FAN_SIDE, _FAN_MAPS = 256, 64


def open_landmark_detector(name: str, weights: Path | None = None) -> FindsLandmarks:
    """The detector `name` of `NAMES`. `weights`: its file; without one the model folders are searched.

    Raises UsageError (no such detector, or weights for the estimate), ModelMissingError (says where the
    weights come from), ModelCorruptError (they are something else), RuntimeUnavailableError (no dlib).
    """
    find = Detector(zoo.resolve("finder").path).find
    opened = {"dlib": _dlib, "fan": _fan}.get(name)
    if opened is not None:
        points = opened(weights or zoo.resolve("features", f"{name}-landmarks").path)
    elif name != "estimate":
        raise UsageError(f"no finder of landmarks is called {name!r}; there are {', '.join(NAMES)}")
    elif weights is not None:
        raise UsageError("the estimate of 68 landmarks has no weights: choose dlib or fan for this file")
    else:
        points = _estimate

    def landmarks(picture: np.ndarray) -> np.ndarray | None:
        for face in find(picture):
            with suppress(FaceError):  # its five points do not lie like a face's
                return points(picture, face)
        return None

    return landmarks


def _estimate(_: np.ndarray, face: Face) -> np.ndarray:
    return estimate68(face.landmarks)


def _dlib(path: Path) -> Callable[[np.ndarray, Face], np.ndarray]:
    """Kazemi and Sullivan, *One Millisecond Face Alignment*, CVPR 2014."""
    try:
        import dlib
    except ImportError:
        message = "landmarks by dlib need it: pip install 'revisage[landmarks]', or use the estimate"
        raise RuntimeUnavailableError(message) from None
    try:
        predictor = dlib.shape_predictor(str(path))
    except RuntimeError as error:
        raise ModelCorruptError(f"dlib cannot read {path}: {error}") from None
    left, top, right, bottom = (round(edge) for edge in _DLIB_BOX)
    box = dlib.rectangle(left, top, right, bottom)

    def points(picture: np.ndarray, face: Face) -> np.ndarray:
        matrix = estimate(face.landmarks, _DLIB_SIDE)
        found = predictor(align(picture, matrix, _DLIB_SIDE), box)
        if found.num_parts != COUNT:
            raise ModelCorruptError(f"{path} finds {found.num_parts} points, {COUNT} are needed")
        return _back(np.array([[part.x, part.y] for part in found.parts()]), matrix)

    return points


def _fan(path: Path) -> Callable[[np.ndarray, Face], np.ndarray]:
    """Bulat and Tzimiropoulos, *How far are we from solving the 2D & 3D Face Alignment problem?*, 2017."""
    import torch

    try:
        network = torch.jit.load(str(path), map_location="cpu").eval()
    except (RuntimeError, ValueError, OSError) as error:
        raise ModelCorruptError(f"{path} is no TorchScript file: {str(error).splitlines()[0]}") from None

    def points(picture: np.ndarray, face: Face) -> np.ndarray:
        # As the published code cuts it: a square of 200/195 of width and height, the box's centre lifted.
        x, y, w, h = face.box
        side = (w + h) * 200 / 195
        zoom = _FAN_SIDE / side
        corner = np.array([x + w / 2, y + 0.38 * h]) - side / 2
        matrix = np.column_stack((np.eye(2) * zoom, (0.5 - corner) * zoom - 0.5))
        crop = align(picture, matrix, _FAN_SIDE)
        batch = torch.from_numpy(np.ascontiguousarray(crop.transpose(2, 0, 1)[None], np.float32) / 255)
        with torch.no_grad():
            maps = network(batch)
        maps = maps[-1] if isinstance(maps, list | tuple) else maps  # the last of its hourglasses
        if tuple(maps.shape) != (1, COUNT, _FAN_MAPS, _FAN_MAPS):
            raise ModelCorruptError(f"{path} gives {tuple(maps.shape)}, not 68 maps of 64 x 64")
        return _back(peaks(maps[0].numpy()) * (_FAN_SIDE / _FAN_MAPS) - 0.5, matrix)

    return points


def peaks(maps: np.ndarray) -> np.ndarray:
    """(68, S, S) heat maps -> (68, 2) x, y: the highest place, a quarter of a pixel towards the higher side.
    The first pixel of the maps has its middle at 0.5 of their pixels."""
    side = maps.shape[-1]
    y, x = np.unravel_index(maps.reshape(len(maps), -1).argmax(1), (side, side))
    each, around = np.arange(len(maps)), np.pad(maps, ((0, 0), (1, 1), (1, 1)), mode="edge")
    right = around[each, y + 1, x + 2] - around[each, y + 1, x]
    below = around[each, y + 2, x + 1] - around[each, y, x + 1]
    return np.stack((x + 0.5 + 0.25 * np.sign(right), y + 0.5 + 0.25 * np.sign(below)), axis=1)


def _back(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Points of the crop that `matrix` makes -> of the picture, (68, 2) float32."""
    inverse = invert(matrix)
    return (points @ inverse[:, :2].T + inverse[:, 2]).astype(np.float32)
