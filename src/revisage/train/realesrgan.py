"""Training of the scene model, which cleans and doubles photos, for PSNR (Real-ESRGAN's first stage)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from revisage.data.loader import Sample
from revisage.data.pictures import Pictures, find_pictures, shuffled
from revisage.degrade import RECIPES, apply, tone, zoomed
from revisage.errors import UsageError
from revisage.losses.charbonnier import charbonnier
from revisage.metrics.psnr import psnr
from revisage.metrics.ssim import ssim
from revisage.networks.compact import SCENE_X2, Compact, CompactConfig
from revisage.train.pictures import from_unit, grid, to_unit
from revisage.train.task import Batch, Phase


@dataclass(frozen=True)
class SceneSettings:
    """Data of the scene model.

    Attributes:
        data: folder of photographs.
        faces: a second folder (aligned faces), so that people are not foreign to it; None goes without.
        faces_share: share of the samples from `faces`.
        network: sizes.
        recipe: degradation; it is applied to the shrunken photo.
        patch: side of the network's input in pixels.
        around: side of the piece that is degraded, from which the patch is cut, so that a scratch or a
            crease can cross it.
        zoom: the piece is taken to come from a photo up to so many times as wide, with marks of its size.
        validation: held-out photos used.
        seed: of every draw.

    Raises UsageError when a value cannot be used.
    """

    data: Path
    faces: Path | None = None
    faces_share: float = 0.25
    network: CompactConfig = SCENE_X2
    recipe: str = "scene"
    patch: int = 64
    around: int = 120
    zoom: float = 5.0
    validation: int = 12
    seed: int = 0

    def __post_init__(self) -> None:
        if self.recipe not in RECIPES:
            raise UsageError(f"no recipe {self.recipe!r}; there are {', '.join(RECIPES)}")
        if not 1 <= self.patch <= self.around:
            raise UsageError(f"patch must be between 1 and around ({self.around}), got {self.patch}")
        if self.validation < 1:
            raise UsageError(f"validation must be at least 1, got {self.validation}")
        if not 0 <= self.faces_share <= 1:
            raise UsageError(f"faces_share must be between 0 and 1, got {self.faces_share}")


def shrink(picture: np.ndarray, factor: int) -> np.ndarray:
    """(H, W, 3) float32 reduced by an integer factor by area averaging, cropped to a multiple of it."""
    h, w = picture.shape[0] // factor, picture.shape[1] // factor
    picture = picture[: h * factor, : w * factor]
    return cv2.resize(picture, (w, h), interpolation=cv2.INTER_AREA)


class SceneTask:
    """See `revisage.train.task.Task`."""

    averaged = "generator"
    best = "psnr"

    def __init__(self, settings: SceneSettings) -> None:
        self.settings = settings
        self.photos = Pictures(find_pictures(settings.data))
        self.faces = Pictures(find_pictures(settings.faces)) if settings.faces else None
        self.held = Pictures(find_pictures(settings.data, held=True)[: settings.validation])
        torch.manual_seed(settings.seed)
        self.networks: dict[str, nn.Module] = {"generator": Compact(settings.network)}

    def phases(self) -> list[Phase]:
        return [Phase("generator", "generator", self._losses)]

    def sample(self, index: int) -> Sample:
        settings, scale = self.settings, self.settings.network.scale
        rng = np.random.default_rng((settings.seed, index))
        if self.faces is not None and rng.random() < settings.faces_share:
            picture = self.faces[shuffled(index, len(self.faces), settings.seed)]
        else:
            picture = self.photos[shuffled(index, len(self.photos), settings.seed)]
        clean = _crop(rng, _zoom(rng, picture, settings.around * scale), settings.around * scale)
        clean = np.rot90(clean, int(rng.integers(4)))
        if rng.random() < 0.5:
            clean = clean[:, ::-1]
        clean = to_unit(np.ascontiguousarray(clean))
        chain = zoomed(RECIPES[settings.recipe].sample(rng), float(rng.uniform(1, settings.zoom)))
        low = apply(shrink(clean, scale), chain)
        # The model repairs damage and leaves the photo's tone to its owner: a patch does not show it.
        clean = apply(clean, tone(chain))
        top, left = rng.integers(0, settings.around - settings.patch + 1, 2)
        low = low[top : top + settings.patch, left : left + settings.patch]
        clean = clean[
            top * scale : (top + settings.patch) * scale, left * scale : (left + settings.patch) * scale
        ]
        return {"low": from_unit(low) * 0.5 + 0.5, "clean": from_unit(clean) * 0.5 + 0.5}

    def _losses(self, batch: Batch) -> dict[str, Tensor]:
        return {"charbonnier": charbonnier(self.networks["generator"](batch["low"]), batch["clean"])}

    def _held_out(self, i: int, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Low and clean held-out photo `i` as (3, H, W) in [0, 1]; "clean" means only shrunken."""
        scale = self.settings.network.scale
        clean = to_unit(self.held[i])
        clean = clean[: clean.shape[0] // scale * scale, : clean.shape[1] // scale * scale]
        low = shrink(clean, scale)
        if name != "clean":
            chain = zoomed(RECIPES[name].sample(np.random.default_rng(i)), 2)
            low, clean = apply(low, chain), apply(clean, tone(chain))
        return from_unit(low) * 0.5 + 0.5, from_unit(clean) * 0.5 + 0.5

    @torch.no_grad()
    def validate(self, network: nn.Module) -> dict[str, float]:
        figures: dict[str, list[float]] = {}
        for name in ("clean", "scene", "old-photo"):
            for i in range(len(self.held)):
                low, clean = (torch.from_numpy(p)[None] for p in self._held_out(i, name))
                fake = network(low)
                bicubic = F.interpolate(low, scale_factor=self.settings.network.scale, mode="bicubic")
                for key, picture in ((name, fake), (f"bicubic_{name}", bicubic)):
                    figures.setdefault(f"{key}_psnr", []).append(float(psnr(picture, clean)))
                    figures.setdefault(f"{key}_ssim", []).append(float(ssim(picture, clean)))
        means = {key: float(np.mean(values)) for key, values in figures.items()}
        return {"psnr": means["scene_psnr"], **means}

    @torch.no_grad()
    def pictures(self, network: nn.Module) -> np.ndarray:
        rows = []
        for i, name in enumerate(("clean", "scene", "old-photo", "scene", "old-photo", "old-photo")):
            low, clean = self._held_out(i % len(self.held), name)
            fake = network(torch.from_numpy(low[None]))[0].numpy()
            big = low.repeat(self.settings.network.scale, 1).repeat(self.settings.network.scale, 2)
            rows.append([p[:, :320, :320] * 2 - 1 for p in (big, fake, clean)])
        return grid(rows, columns=2)


def _zoom(rng: np.random.Generator, picture: np.ndarray, least: int) -> np.ndarray:
    """Shrink at random (sharper detail, smaller objects), or enlarge if the picture is under `least` px."""
    side = min(picture.shape[:2])
    factor = max(least / side, rng.uniform(0.7, 1.0)) if side >= least else least / side
    if factor == 1:
        return picture
    size = (max(least, round(picture.shape[1] * factor)), max(least, round(picture.shape[0] * factor)))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)


def _crop(rng: np.random.Generator, picture: np.ndarray, side: int) -> np.ndarray:
    assert min(picture.shape[:2]) >= side, picture.shape  # `_zoom` has seen to it
    top, left = (int(rng.integers(0, length - side + 1)) for length in picture.shape[:2])
    return picture[top : top + side, left : left + side]
