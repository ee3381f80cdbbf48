"""Pictures for training: folders of them, which are held out, those kept in memory once read, sharpened."""

import hashlib
import multiprocessing
import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import psutil

from revisage.errors import PhotoError, PictureError, TrainingError, UsageError
from revisage.image import decode, eight_bits

HELD_OUT_SHARE = 0.05
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"})

# Of `sharpen`.
SIGMA = 8.0  # pixels; what OpenCV takes for the published kernel, 51 pixels long
REACH = 25 / SIGMA  # deviations that half of that kernel has room for
THRESHOLD = 10 / 255  # detail fainter than this is left alone: it may be noise


def held_out(name: str, share: float = HELD_OUT_SHARE) -> bool:
    """Whether a person (LFW: the person's name) or a picture (its file stem) is kept from training: the first
    8 bytes of the name's SHA-256, as a fraction of 1, are under `share`. No other picture ever moves one
    across the split."""
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"share must be between 0 and 1, got {share}")
    digest = hashlib.sha256(name.encode("utf-8")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 < share


def find_pictures(
    folder: Path,
    *,
    name: Callable[[Path], str] | None = None,
    held: bool = False,
    share: float = HELD_OUT_SHARE,
) -> list[Path]:
    """Pictures below a folder, sorted, on one side of the split: those held out with `held`, else the others.

    `name` gives the string that is hashed: the file's stem unless told; `share` of the names are held out.
    Raises UsageError when the folder is missing or holds none, TrainingError when none is on that side.
    """
    name = name or (lambda path: path.stem)
    paths = all_pictures(folder, "the training pictures")
    chosen = [p for p in paths if held_out(name(p), share) == held]
    if not chosen:
        raise TrainingError(
            f"no pictures for {'validation' if held else 'training'} among the {len(paths)} in {folder}: "
            f"{share:.0%} of the names are held out, a person's or group's together; add more people"
        )
    return chosen


def photographs(*folders: Path | None, held: bool = False) -> list[Path]:
    """As `find_pictures`, those of several folders; None is none."""
    return [path for folder in folders if folder is not None for path in find_pictures(folder, held=held)]


def all_pictures(folder: Path, what: str = "pictures") -> list[Path]:
    """Those of a folder and below, sorted. Raises UsageError, which asks for `what`, when there are none."""
    wish = f"give the folder that holds {what}"
    if not folder.is_dir():
        raise UsageError(f"no folder {folder}: {wish}")
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not paths:
        raise UsageError(f"no pictures in {folder}: {wish}")
    return paths


def read_picture(path: Path) -> np.ndarray:
    """One picture as (H, W, 3) RGB uint8, its orientation applied. Raises PictureError, naming the file."""
    try:
        return eight_bits(decode(path, isolate=False).pixels)  # a folder for training is trusted
    except PhotoError as error:
        raise PictureError(f"cannot use {path} for training: {error}; remove it") from None


def fit(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """(H, W, 3) uint8 at another size: averaged down, bicubic up."""
    if picture.shape[:2] == (height, width):
        return picture
    shrinks = height * width < picture.shape[0] * picture.shape[1]
    way = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return cv2.resize(picture, (width, height), interpolation=way)


def part(picture: np.ndarray, rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """(height, width, 3) of a picture, from a place drawn for it."""
    top = rng.integers(picture.shape[0] - height + 1)
    left = rng.integers(picture.shape[1] - width + 1)
    return picture[top : top + height, left : left + width]


def sharpen(picture: np.ndarray, amount: float = 0.5, sigma: float = SIGMA) -> np.ndarray:
    """Unsharp masking of (H, W, 3) float32 in [0, 1]: detail, which a Gaussian of `sigma` pixels takes away,
    grows by `amount` where it is stronger than a threshold. Wang et al., *Real-ESRGAN*, ICCVW 2021, §3.3: a
    network that learns from sharpened pictures sharpens without the overshoot of sharpening its output."""
    detail = picture - _blur(picture, sigma)
    strong = _blur((np.abs(detail) > THRESHOLD).astype(np.float32), sigma)
    return np.clip(picture + strong * (np.clip(picture + amount * detail, 0, 1) - picture), 0, 1)


def _blur(picture: np.ndarray, sigma: float) -> np.ndarray:
    side = 2 * round(REACH * sigma) + 1
    return cv2.GaussianBlur(picture, (side, side), sigma, borderType=cv2.BORDER_REFLECT_101)


def cache_room() -> int:
    """Bytes of pictures to keep: a quarter of the free memory, shared by the processes `torchrun` started."""
    return psutil.virtual_memory().available // 4 // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


class Pictures:
    """Pictures by number: [i] -> (H, W, 3) RGB uint8. Those read first are kept, up to `room` bytes
    (`cache_room()` unless told; forked processes share it), and the others decoded each time: an epoch shows
    every picture once, so that keeping the latest instead would help none."""

    def __init__(self, paths: list[Path], room: int | None = None) -> None:
        self.paths = paths
        self._room = multiprocessing.get_context("fork").Value("q", cache_room() if room is None else room)
        self._cache: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> np.ndarray:
        picture = self._cache.get(i)
        if picture is None:
            picture = read_picture(self.paths[i])
            with self._room.get_lock():
                kept = picture.nbytes <= self._room.value
                if kept:
                    self._room.value -= picture.nbytes
            if kept:
                self._cache[i] = picture
        return picture


def shuffled(index: int, count: int, seed: int) -> int:
    """The picture of sample `index`: every epoch is a permutation of its own, drawn from (seed, epoch)."""
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    epoch, position = divmod(index, count)
    return int(_order(count, seed, epoch)[position])


@lru_cache(maxsize=8)  # two folders, in two epochs each at their border; 8 MB for a million pictures
def _order(count: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng((seed, epoch)).permutation(count)
