"""What the trainings on whole photos share: clean pieces, patches of a degraded piece, held-out photos."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from revisage.lab.data.loader import Sample
from revisage.lab.data.pictures import Pictures, part, photographs, shuffled
from revisage.lab.degrade import RECIPES, Chain, apply, tone, zoomed
from revisage.lab.degrade.camera import GaussianNoise, Jpeg
from revisage.lab.degrade.kernels import gaussian_blur
from revisage.lab.networks.scene import STRIDE
from revisage.lab.train.pictures import to_unit, unit_tensor

CROWDS = (1, 2, 4)  # faces along a side of a picture of faces, which in photos are rarely as large as it is
CROWD_SHARES = (0.5, 0.35, 0.15)
MARKED = 24 / 255  # a pixel that damage changed by more may lie under a mark
Pair = tuple[str, Tensor, Tensor]  # a kind of damage, and a photo low and clean
SMALL = 0.12  # marks cover at most so much of a picture; noise and blur cover more


def piece(rng: np.random.Generator, picture: np.ndarray, side: int) -> np.ndarray:
    """(H, W, 3) -> (side, side, 3) from a place drawn for it. At times shrunken first (sharper detail,
    smaller objects), and enlarged if it is under `side` px."""
    least = min(picture.shape[:2])
    factor = max(side / least, rng.uniform(0.7, 1.0)) if least >= side else side / least
    if factor != 1:
        size = (max(side, round(picture.shape[1] * factor)), max(side, round(picture.shape[0] * factor)))
        kernel = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
        picture = cv2.resize(picture, size, interpolation=kernel)
    return part(picture, rng, side, side)


def shrink(picture: np.ndarray, factor: int) -> np.ndarray:
    """(H, W, 3) float32 reduced by an integer factor by area averaging, cropped to a multiple of it."""
    h, w = picture.shape[0] // factor, picture.shape[1] // factor
    picture = picture[: h * factor, : w * factor]
    return cv2.resize(picture, (w, h), interpolation=cv2.INTER_AREA)


def vary(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """Other light on the same scene: half the time less contrast, at times swapped colours; in [0, 1]."""
    if rng.random() < 0.5:
        black, white = np.float32(rng.uniform(0, 0.15)), np.float32(rng.uniform(0.75, 1))
        picture = black + (white - black) * picture
    if rng.random() < 0.2:
        picture = picture[..., rng.permutation(3)]
    return np.ascontiguousarray(picture)


def crowd(rng: np.random.Generator, faces: Pictures) -> np.ndarray:
    """A face, or 4 or 16 smaller ones side by side in its place, (H, W, 3) uint8."""
    count = int(rng.choice(CROWDS, p=CROWD_SHARES))
    drawn = [faces[int(i)] for i in rng.integers(len(faces), size=count * count)]
    side = min(min(face.shape[:2]) for face in drawn) // count
    small = [cv2.resize(f, (side, side), interpolation=cv2.INTER_AREA) for f in drawn] if count > 1 else drawn
    return np.concatenate([np.concatenate(small[i::count], axis=1) for i in range(count)])


class ScenePictures:
    """Photographs of some folders, `held` ones apart, and of `settings.faces` a share of crowds."""

    def __init__(self, settings: Any, *folders: Path | None) -> None:
        self.photos, self.faces = Pictures(photographs(*folders)), Pictures(photographs(settings.faces))
        self.held = Pictures(photographs(*folders, held=True)[: settings.validation])
        self.share, self.seed = settings.faces_share, settings.seed

    def draw(self, number: int, rng: np.random.Generator) -> np.ndarray:
        """The picture of piece `number`, (H, W, 3) uint8."""
        if self.faces and rng.random() < self.share:
            return crowd(rng, self.faces)
        return self.photos[shuffled(number, len(self.photos), self.seed)]

    def pairs(self, kinds: Sequence[str], scale: int, device: torch.device) -> Iterator[Pair]:
        """Every held-out photo under every kind of damage: the kind, and its `held_pair`, (1, 3, H, W)."""
        for kind in kinds:
            for i in range(len(self.held)):
                low, clean = held_pair(self.held[i], kind, i, scale)
                yield kind, torch.from_numpy(low)[None].to(device), torch.from_numpy(clean)[None].to(device)

    def examples(self, kinds: Sequence[str], scale: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Pairs of `held_pair` to look at, two under each kind of damage."""
        for i, kind in enumerate((*kinds, *kinds)):
            yield held_pair(self.held[i % len(self.held)], kind, i % len(self.held), scale)


def ramp(rng: np.random.Generator, side: int) -> np.ndarray:
    """A smooth gradient, gray or coloured, (side, side, 3) float32 in [0, 1], not rounded to 8 bits."""
    along = (np.arange(side, dtype=np.float32) + 0.5) / side - 0.5
    angle = rng.uniform(0, 2 * np.pi)
    t = np.cos(angle) * along[:, None] + np.sin(angle) * along
    t = t + rng.uniform(-1, 1) * t * t
    depth = np.exp(rng.uniform(np.log(0.003), np.log(0.5)))
    steps = np.full(3, depth) if rng.random() < 0.5 else depth * rng.uniform(-1, 1, 3)
    colour = np.full(3, rng.random()) if rng.random() < 0.5 else rng.random(3)
    return np.clip(colour + steps * t[..., None], 0, 1).astype(np.float32)


def patches(rng: np.random.Generator, pair: Sample, patch: int, around: int) -> Sample:
    """A square from one place of each picture, (H, W, 3), turned and mirrored alike. It is `patch` of the
    `around` pixels of the smallest picture, and as many times more of larger ones."""
    corner = rng.integers(0, around - patch + 1, 2)
    turns, mirrored = int(rng.integers(4)), rng.random() < 0.5
    parts: Sample = {}
    for key, picture in pair.items():
        size = picture.shape[0] // around
        (top, left), side = corner * size, patch * size
        part = np.rot90(picture[top : top + side, left : left + side], turns)
        parts[key] = part[:, ::-1] if mirrored else part
    return parts


def held_pair(photo: np.ndarray, kind: str, seed: int, scale: int) -> tuple[np.ndarray, np.ndarray]:
    """Low and clean held-out photo as (3, H, W) in [0, 1], of (H, W, 3) uint8; `kind` is a recipe, "clean",
    which is only shrunken, or "camera"."""
    clean, unit = to_unit(photo), STRIDE * scale
    clean = clean[: clean.shape[0] // unit * unit, : clean.shape[1] // unit * unit]
    low = shrink(clean, scale)
    if kind != "clean":
        recipe = RECIPES.get(kind)
        damage = camera(seed) if recipe is None else zoomed(recipe.sample(np.random.default_rng(seed)), 2)
        low, clean = apply(low, damage), apply(clean, tone(damage))
    return unit_tensor(low), unit_tensor(clean)


def camera(seed: int) -> Chain:
    """A plain bad photo, the yardstick: blur of 0.9 px, noise of 8 gray levels, JPEG of quality 70."""
    return Chain((_Blur(0.9), GaussianNoise(8 / 255, False, seed), Jpeg(70)))


@dataclass(frozen=True)
class _Blur:
    """Gaussian blur in the picture's own pixels."""

    sigma: float

    def apply(self, image: np.ndarray) -> np.ndarray:
        return gaussian_blur(image, self.sigma, self.sigma)


def under_marks(low: Tensor, clean: Tensor) -> Tensor:
    """Which pixels lie under marks; (N, 3, h, w) and (N, 3, h r, w r) in [0, 1] -> bool (N, 1, h r, w r).
    They are told from other damage by being much changed and few: none are in a picture where more than
    `SMALL` of the pixels changed by more than `MARKED`."""
    scale = clean.shape[-1] // low.shape[-1]
    changed = (F.avg_pool2d(clean, scale) - low).abs().amax(dim=1, keepdim=True) > MARKED
    changed &= changed.float().mean(dim=(2, 3), keepdim=True) <= SMALL
    return changed.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
